"""Cuts a mask into its connected pieces: letters, hairs, lesions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Above this many runs of pixels a mask shows noise, in which nothing could be told apart anyway.
MAX_RUNS = 20_000


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A region of a frame: rows `top` to `bottom`, columns `left` to `right`, the last ones not included."""

    top: int
    left: int
    bottom: int
    right: int


def pieces(ink: NDArray[np.bool_]) -> list[tuple[Box, int]]:
    """Give box and number of pixels of each 8-connected piece, none if there are too many.

    Rows are cut into runs; runs of neighbouring rows that touch are one piece (union-find).
    """
    edges = np.diff(np.pad(ink, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, begins = np.nonzero(edges == 1)
    ends = np.nonzero(edges == -1)[1]
    if rows.size == 0 or rows.size > MAX_RUNS:
        return []
    width = ink.shape[1] + 2
    # Runs that touch in the row below: their keys lie between these two.
    first = np.searchsorted(rows * width + ends, (rows + 1) * width + begins)
    last = np.searchsorted(rows * width + begins, (rows + 1) * width + ends, side="right")
    parent = list(range(rows.size))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    for run, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for below in range(low, high):
            parent[root(below)] = root(run)
    labels = np.array([root(run) for run in range(rows.size)])
    _, piece = np.unique(labels, return_inverse=True)
    n_pieces = int(piece.max()) + 1
    top, left = np.full(n_pieces, ink.shape[0]), np.full(n_pieces, ink.shape[1])
    bottom, right = np.zeros(n_pieces, np.intp), np.zeros(n_pieces, np.intp)
    np.minimum.at(top, piece, rows)
    np.minimum.at(left, piece, begins)
    np.maximum.at(bottom, piece, rows + 1)
    np.maximum.at(right, piece, ends)
    n_pixels = np.bincount(piece, weights=ends - begins).astype(int)
    boxes = (Box(*sides) for sides in np.stack([top, left, bottom, right], axis=1).tolist())
    return list(zip(boxes, n_pixels.tolist(), strict=True))
