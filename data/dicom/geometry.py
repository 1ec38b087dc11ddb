"""Where a slice lies in the patient, and in which order slices are read.

References
----------
PS3.3 C.7.6.2.1.1 (Image Position and Orientation), C.7.6.16.2.3 and C.7.6.16.2.4 (the same per frame).
"""

from dataclasses import dataclass

import numpy as np
from pydicom.dataset import Dataset

from data.dicom.header import functional_groups, items_of, numbers_of

# Cosines that differ by less than this (a fifth of a degree) are one orientation: scanners write them
# rounded, each slice a little differently.
SAME_ORIENTATION = 0.003


@dataclass(frozen=True, slots=True)
class Plane:
    """The plane of one frame in the patient's coordinates (x to the left, y to the back, z to the head).

    `position_mm` is the centre of its first pixel, `row` and `column` the directions along them.
    """

    position_mm: tuple[float, float, float]
    row: tuple[float, float, float]
    column: tuple[float, float, float]

    @property
    def normal(self) -> tuple[float, float, float]:
        """The direction in which slices follow each other: the cross product of row and column."""
        x, y, z = np.cross(self.row, self.column)
        return float(x), float(y), float(z)

    def is_parallel_to(self, other: "Plane") -> bool:
        """Whether both planes have one orientation."""
        difference = np.subtract(self.row + self.column, other.row + other.column)
        return bool(np.abs(difference).max() < SAME_ORIENTATION)

    def distance_mm(self, normal: tuple[float, float, float]) -> float:
        """Give the plane's place along a normal.

        Examples
        --------
        >>> Plane((10.0, 20.0, 30.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)).distance_mm((0.0, 0.0, 1.0))
        30.0
        """
        return float(np.dot(self.position_mm, normal))


def plane_of(dataset: Dataset, index: int) -> Plane | None:
    """Give the plane of a frame, from its functional groups or the object itself; None without one."""
    position: tuple[float, ...] = ()
    orientation: tuple[float, ...] = ()
    for group in functional_groups(dataset, index):
        for item in items_of(group, "PlanePositionSequence"):
            position = position or numbers_of(item, "ImagePositionPatient")
        for item in items_of(group, "PlaneOrientationSequence"):
            orientation = orientation or numbers_of(item, "ImageOrientationPatient")
    position = position or numbers_of(dataset, "ImagePositionPatient")
    orientation = orientation or numbers_of(dataset, "ImageOrientationPatient")
    if len(position) != 3 or len(orientation) != 6:
        return None
    row, column = np.array(orientation[:3]), np.array(orientation[3:])
    # Directions are of length 1 and at right angles; anything else is not a plane.
    if (
        abs(np.dot(row, row) - 1) > 0.05
        or abs(np.dot(column, column) - 1) > 0.05
        or abs(np.dot(row, column)) > 0.05
    ):
        return None
    x, y, z = position
    a, b, c, d, e, f = orientation
    return Plane((x, y, z), (a, b, c), (d, e, f))
