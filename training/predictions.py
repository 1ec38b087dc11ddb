"""What the best weights of a run give for a part of the split, kept in a file beside the truth."""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.errors import RunError
from training.saving import replacing


@dataclass(frozen=True, eq=False)
class ScoredSet:
    """Rows of a labelled set with a network's outputs.

    Parameters
    ----------
    logits : (n_rows, n_classes) float32
    features : (n_rows, n_features) float32
    labels : (n_rows,) int64
        Index of the true class.
    groups : (n_rows,) str
        The lesion or patient.
    names : (n_rows,) str
        Each image's name within its source.
    studies : (n_rows,) str
        The study of each image; an image of none is its own.
    positions : (n_rows,) int64
        Each image's place in its study.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    groups: NDArray[np.str_]
    names: NDArray[np.str_]
    studies: NDArray[np.str_]
    positions: NDArray[np.int64]

    @property
    def n_groups(self) -> int:
        """How many lesions or patients the rows show."""
        return len(np.unique(self.groups))

    def at(self, rows: NDArray[np.intp]) -> "ScoredSet":
        """Give these rows alone, in this order."""
        return ScoredSet(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})


def join(parts: Iterable[ScoredSet]) -> ScoredSet:
    """Put the rows of several sets one after the other; there must be one set at least."""
    held = tuple(parts)
    return ScoredSet(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in held])
            for field in fields(ScoredSet)
        }
    )


def write_scored(path: Path, scored: ScoredSet) -> None:
    """Write the arrays to an npz, whole or not at all."""
    with replacing(path) as file:
        np.savez_compressed(file, **{field.name: getattr(scored, field.name) for field in fields(scored)})


def read_scored(path: Path) -> ScoredSet:
    """Read what :func:`write_scored` wrote.

    Raises
    ------
    RunError
        If the file is not there or is not one of these.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return ScoredSet(**{field.name: arrays[field.name] for field in fields(ScoredSet)})
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing; make it with: firstread-train evaluate") from error
    except (OSError, ValueError, KeyError) as error:
        raise RunError(f"{path} cannot be read ({error}); make it again: firstread-train evaluate") from error
