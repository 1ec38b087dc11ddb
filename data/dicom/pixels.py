"""How pixel data are laid out, and the way from a frame's bytes to its stored values.

References
----------
PS3.3 C.7.6.3 (Image Pixel module), PS3.5 8.1 and 8.2 (native and encapsulated encoding).
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray


class Sample(StrEnum):
    """What a sample is."""

    INTEGER = "integer"
    FLOAT = "float"
    DOUBLE = "double"


@dataclass(frozen=True, slots=True)
class PixelForm:
    """The layout of one frame.

    `photometric` is the Photometric Interpretation as written; `is_planar` says that each colour has a
    plane of its own.
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    photometric: str
    is_planar: bool
    sample: Sample = Sample.INTEGER

    @property
    def n_samples(self) -> int:
        """Samples of a native frame; YBR_FULL_422 stores two for each pixel (PS3.3 C.7.6.3.1.2)."""
        per_pixel = 2 if self.is_subsampled else self.samples
        return self.rows * self.columns * per_pixel

    @property
    def is_subsampled(self) -> bool:
        """Whether a native frame holds each pair of pixels as Y Y Cb Cr."""
        return self.photometric in {"YBR_FULL_422", "YBR_PARTIAL_422"} and self.samples == 3

    @property
    def n_bits(self) -> int:
        """Size of one native frame in bits; frames of single bits follow each other without padding."""
        return self.n_samples * self.bits_allocated


def native_values(
    data: bytes, form: PixelForm, *, is_little_endian: bool, first_bit: int = 0
) -> NDArray[np.generic]:
    """Give the stored values of a native frame.

    Parameters
    ----------
    data : bytes
        The frame; for single bits from the byte in which it begins.
    form : PixelForm
        Its layout.
    is_little_endian : bool
        The byte order of words.
    first_bit : int
        Where in the first byte a frame of single bits begins, the lowest bit being 0.

    Returns
    -------
    (rows, columns) or (rows, columns, samples) array
        Integers of the form's sign with the bits above Bits Stored removed, or floats.
    """
    flat: NDArray[np.generic]
    if form.bits_allocated == 1:
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        flat = bits[first_bit : first_bit + form.n_samples]
    elif form.bits_allocated == 12:
        flat = _unpack_twelve_bits(data, form.n_samples)
    else:
        order = "<" if is_little_endian else ">"
        letter = "u" if form.sample is Sample.INTEGER else "f"
        words = np.frombuffer(data, f"{order}{letter}{form.bits_allocated // 8}", form.n_samples)
        flat = words.astype(words.dtype.newbyteorder("="), copy=False)
    if form.sample is Sample.INTEGER:
        flat = stored_integers(flat, form)
    return arrange(flat, form)


def stored_integers(words: NDArray[np.generic], form: PixelForm) -> NDArray[np.generic]:
    """Take the stored bits out of allocated words and give them their sign.

    Bits above the stored ones hold overlays in old objects (PS3.5 8.1.1) and anything at all in others.

    Examples
    --------
    >>> form = PixelForm(1, 2, 1, 16, 12, 11, True, "MONOCHROME2", False)
    >>> stored_integers(np.array([0xFFFF, 0x1001], np.uint16), form).tolist()
    [-1, 1]
    """
    n_bits = words.dtype.itemsize * 8
    unsigned = words.view(f"u{words.dtype.itemsize}")
    shift = max(0, form.high_bit + 1 - form.bits_stored)
    if form.bits_stored + shift < n_bits or shift:
        unsigned = (unsigned >> shift) & ((1 << form.bits_stored) - 1)
    return signed(unsigned, form.bits_stored) if form.is_signed else unsigned


def signed(words: NDArray[np.generic], bits_stored: int) -> NDArray[np.generic]:
    """Read the lowest `bits_stored` bits of unsigned words as two's complement."""
    n_bits = words.dtype.itemsize * 8
    up = max(0, n_bits - bits_stored)
    integers = words.view(f"i{words.dtype.itemsize}")
    return (integers << up) >> up if up else integers


def arrange(flat: NDArray[np.generic], form: PixelForm) -> NDArray[np.generic]:
    """Give a frame's samples their shape, pixels interleaved and colours at full resolution."""
    rows, columns, samples = form.rows, form.columns, form.samples
    if samples == 1:
        return flat.reshape(rows, columns)
    if form.is_subsampled and flat.size == form.n_samples:
        pairs = flat.reshape(-1, 4)
        full = np.empty((pairs.shape[0], 2, 3), flat.dtype)
        full[:, 0, 0], full[:, 1, 0] = pairs[:, 0], pairs[:, 1]
        full[:, :, 1], full[:, :, 2] = pairs[:, 2:3], pairs[:, 3:4]
        return full.reshape(rows, columns, 3)
    if form.is_planar:
        return np.ascontiguousarray(flat.reshape(samples, rows, columns).transpose(1, 2, 0))
    return flat.reshape(rows, columns, samples)


def _unpack_twelve_bits(data: bytes, n_samples: int) -> NDArray[np.uint16]:
    """Take apart words of 12 allocated bits, the lower first (PS3.5 D, retired)."""
    n_pairs = (n_samples + 1) // 2
    octets = np.zeros(n_pairs * 3, np.uint8)
    given = np.frombuffer(data, np.uint8)[: n_pairs * 3]
    octets[: given.size] = given
    triples = octets.reshape(-1, 3).astype(np.uint16)
    values = np.empty((n_pairs, 2), np.uint16)
    values[:, 0] = triples[:, 0] | (triples[:, 1] & 0x0F) << 8
    values[:, 1] = triples[:, 1] >> 4 | triples[:, 2] << 4
    return values.reshape(-1)[:n_samples]
