"""Studies made of arrays, for tests that score without files."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.study import Frame, Instance, Modality, QuantityUnit, Series, Study


@dataclass(slots=True)
class ArrayReader:
    """Shows arrays as frames, and remembers what it was asked for."""

    pictures: Sequence[NDArray[np.uint8]]
    values: Sequence[NDArray[np.float32]] = ()
    asked: list[tuple[str, int, int | None]] = field(default_factory=list)

    def displayed(self, index: int, *, at_least_px: int | None = None) -> NDArray[np.uint8]:
        self.asked.append(("displayed", index, at_least_px))
        return self.pictures[index]

    def quantities(self, index: int) -> NDArray[np.float32]:
        if not self.values:
            raise ValueError("there are no quantities")
        self.asked.append(("quantities", index, None))
        return self.values[index]


def tiny_series(
    pictures: Sequence[NDArray[np.uint8]],
    *,
    values: Sequence[NDArray[np.float32]] = (),
    modality: Modality = Modality.PHOTOGRAPH,
    body_part: str = "",
    uid: str = "1.2.3",
) -> Series:
    """Make a series of one multi-frame instance."""
    instance = Instance(
        path=Path("array"),
        sop_instance_uid=f"{uid}.1",
        sop_class_uid=None,
        number=1,
        n_frames=len(pictures),
        rows=pictures[0].shape[0],
        columns=pictures[0].shape[1],
        is_colour=pictures[0].ndim == 3,
        unit=QuantityUnit.HOUNSFIELD if values else None,
        reader=ArrayReader(pictures, values),
    )
    frames = tuple(Frame(instance, index) for index in range(len(pictures)))
    return Series(uid=uid, modality=modality, frames=frames, body_part=body_part)


def tiny_study(*series: Series, uid: str = "1.2") -> Study:
    """Put series together to a study."""
    return Study(uid=uid, series=series)
