"""Where in a picture, and in which pictures of a study, the model saw what it says.

A class activation map is coarse: it says which part of the picture counted, not where a lesion ends. So
it is shown as a contour that leaves the picture itself untouched, and only on a frame it was computed for.
"""

from collections.abc import Sequence

import contourpy
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.card import InputSpec
from models.preprocess import placement

# Steps in which a cell of the map is refined before its contour is drawn; corners of a 7 x 7 map vanish.
_REFINEMENT = 8

# Below this distance (mm or frames) places are not told apart any more.
_CLOSEST = 0.1

# Positions are written with a few decimals: two slices of 5 mm may lie 9.999 mm apart.
_SLACK = 0.01


def normalise_map(evidence_map: NDArray[np.float32], *, highest: float | None = None) -> NDArray[np.float32]:
    """Scale one class's map to 0 to 1.

    Parameters
    ----------
    evidence_map : (h, w) float32
        One class of :attr:`models.runtime.Outputs.maps`: positive where the place speaks for the class.
    highest : float or None
        The value that becomes 1; None takes the map's own highest. Frames of one study that share it
        can be compared.

    Returns
    -------
    (h, w) float32
        0 where the place speaks against the class or the map is not a number; all 0 where nothing
        speaks for it.

    Examples
    --------
    >>> normalise_map(np.array([[-1.0, 2.0], [1.0, 4.0]], np.float32))
    array([[0.  , 0.5 ],
           [0.25, 1.  ]], dtype=float32)
    """
    if evidence_map.ndim != 2 or not evidence_map.size:
        raise ValueError(f"map is {evidence_map.shape}, expected (h, w)")
    positive = np.where(np.isfinite(evidence_map), np.maximum(evidence_map, 0.0), 0.0).astype(np.float64)
    top = float(positive.max()) if highest is None else highest
    if top <= 0.0:
        return np.zeros(evidence_map.shape, np.float32)
    return np.minimum(positive / top, 1.0).astype(np.float32)


def contour(
    evidence_map: NDArray[np.float32],
    picture_shape: tuple[int, ...],
    spec: InputSpec,
    *,
    level: float = 0.5,
) -> list[NDArray[np.float64]]:
    """Draw the line around the part of the picture that speaks for a class.

    Parameters
    ----------
    evidence_map : (h, w) float32
        One class's map over the whole network input.
    picture_shape : (rows, columns[, 3])
        Of the picture that :func:`models.preprocess.to_input` was given.
    spec : InputSpec
        From the model's card: crop, squash and pad are undone by it.
    level : float
        Part of the map's highest value, in (0, 1).

    Returns
    -------
    list of (n, 2) float64, px
        Closed polygons, x and y from the picture's upper left corner, the first point repeated at the
        end; the largest first. Empty where nothing speaks for the class.
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}, expected between 0 and 1")
    normal = normalise_map(evidence_map)
    if not normal.any():
        return []
    height, width = normal.shape[0] * _REFINEMENT, normal.shape[1] * _REFINEMENT
    fine = np.asarray(Image.fromarray(normal).resize((width, height), Image.Resampling.BICUBIC))
    # the outermost cells reach to the input's border, and what is beyond it speaks for nothing
    framed = np.pad(np.pad(fine, 1, mode="edge"), 1)
    lines = contourpy.contour_generator(
        _cell_centres(width, spec.width), _cell_centres(height, spec.height), framed
    ).lines(level)
    place = placement(picture_shape[0], picture_shape[1], spec)
    left, top, right, bottom = place.kept
    polygons = [
        np.clip(place.to_picture(np.asarray(line, np.float64)), (left, top), (right, bottom))
        for line in lines
    ]
    # what lay on the black border of a padded input has collapsed to a line
    visible = [polygon for polygon in polygons if polygon_area(polygon) >= 1.0]
    return sorted(visible, key=polygon_area, reverse=True)


def polygon_area(polygon: NDArray[np.float64]) -> float:
    """Measure a closed polygon, (n, 2) in px, in square pixels (the shoelace formula)."""
    x, y = (polygon - polygon[0]).T
    return abs(float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]))) / 2.0


def key_frames(
    evidence: NDArray[np.floating],
    positions_mm: Sequence[float] | NDArray[np.floating] | None,
    *,
    n: int = 3,
    apart_mm: float = 10.0,
    apart_frames: int = 3,
) -> tuple[int, ...]:
    """Choose the frames that a reader should see first: high evidence, each at another place.

    Parameters
    ----------
    evidence : (n_frames,) float
        How much each frame speaks for a finding; what is not a number comes last.
    positions_mm : (n_frames,) float, mm, or None
        Place of each frame along the series' normal. None counts frames instead.
    n : int
        How many to choose.
    apart_mm : float, mm
        Two chosen frames are at least this far apart, used with `positions_mm`.
    apart_frames : int
        The same in frames, used without. 0 for photographs, which have no neighbours.

    Returns
    -------
    tuple of int
        Indices of ``min(n, n_frames)`` frames, the highest evidence first; of equal frames the first.

    Notes
    -----
    Greedy suppression: the frame with the highest evidence is taken, its neighbourhood falls out, and
    so on. A series too short for n places is searched again with half the distance, so a reader always
    gets n frames where there are n.

    Examples
    --------
    A bleed on slices 1 to 3 and a small one on slice 8; without suppression all three would show the
    first:

    >>> key_frames(np.array([0.1, 0.8, 0.9, 0.8, 0.1, 0.0, 0.0, 0.1, 0.5, 0.1]), None)
    (2, 8, 5)
    """
    values = np.asarray(evidence, np.float64)
    places = (
        np.arange(values.size, dtype=np.float64) if positions_mm is None else np.asarray(positions_mm, float)
    )
    if values.ndim != 1 or places.shape != values.shape:
        raise ValueError(f"shapes disagree: evidence {values.shape}, positions {places.shape}")
    if n < 1:
        raise ValueError(f"n is {n}, expected at least 1")
    ranked = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")
    apart = float(apart_frames) if positions_mm is None else apart_mm
    wanted = min(n, values.size)
    while True:
        chosen: list[int] = []
        for index in ranked:
            if len(chosen) == wanted:
                break
            if apart <= 0.0 or all(abs(places[index] - places[other]) >= apart - _SLACK for other in chosen):
                chosen.append(int(index))
        if len(chosen) == wanted:
            return tuple(chosen)
        apart = apart / 2.0 if apart > _CLOSEST else 0.0


def _cell_centres(n_cells: int, side_px: int) -> NDArray[np.float64]:
    """Place a framed row of cells: its centres, both borders, and a hair beyond them."""
    centres = (np.arange(n_cells) + 0.5) * side_px / n_cells
    beyond = side_px * 1e-6
    return np.concatenate([[-beyond, 0.0], centres, [side_px, side_px + beyond]])
