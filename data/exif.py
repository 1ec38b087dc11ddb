"""The one thing that is read of a photograph's EXIF: which way up it was taken.

EXIF also holds the place (GPS), the time, the device and its owner's name. None of that is needed to read
a picture, so none of it is read, and the arrays handed on cannot carry it.
"""

import struct

import numpy as np
from numpy.typing import NDArray

_ORIENTATION = 0x0112
_SHORT = 3
_PREFIX = b"Exif\x00\x00"


def read_orientation(exif: bytes) -> int:
    """Give the orientation, 1 to 8, of an EXIF block; 1 (upright) where it is absent or cannot be read.

    A camera's picture is worth more than its broken EXIF block, so a broken block is no error.

    References
    ----------
    .. [1] CIPA DC-008-2019 (EXIF 2.32), 4.6.4 A, tag Orientation (0x0112).
    """
    block = exif.removeprefix(_PREFIX)
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(block[:4])
    if order is None:
        return 1
    try:
        (directory,) = struct.unpack_from(f"{order}I", block, 4)
        (n_entries,) = struct.unpack_from(f"{order}H", block, directory)
        for entry in range(n_entries):
            tag, kind, _, value = struct.unpack_from(f"{order}HHIH", block, directory + 2 + 12 * entry)
            if tag == _ORIENTATION:
                return value if kind == _SHORT and 1 <= value <= 8 else 1
    except struct.error:
        pass  # the block ends before its directory does
    return 1


def swaps_sides(orientation: int) -> bool:
    """Whether a stored row becomes a column of the upright picture."""
    return orientation >= 5


def upright(picture: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Turn and mirror a stored picture the way it was taken.

    Parameters
    ----------
    picture : (rows, columns, ...) uint8
        As stored.
    orientation : int
        1 to 8: where the stored first row and first column lie in the scene.

    Returns
    -------
    (rows, columns, ...) or (columns, rows, ...) uint8
        Contiguous; `picture` itself where there is nothing to do.

    Examples
    --------
    A camera held with its right side down stores orientation 6: the first row is the right side.

    >>> upright(np.array([[1, 2, 3]], np.uint8), 6).tolist()
    [[1], [2], [3]]
    """
    if orientation == 1:
        return picture
    if swaps_sides(orientation):
        picture = picture.swapaxes(0, 1)
    if orientation in {3, 4, 7, 8}:
        picture = picture[::-1]
    if orientation in {2, 3, 6, 7}:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)
