"""Reads the frames of a DICOM file, one at a time.

The way of a pixel (PS3.4 N.2, PS3.3 C.11): stored value -> modality value (rescale or table) -> window or
VOI table -> brightness, inverted for MONOCHROME1. Colour has a way of its own: palette or colour space ->
sRGB.

What the header says is gathered once per file and kept for the last few files of a process
(:func:`_picture`), so that a thousand frames of one object cost one parsing and the reader itself is
nothing but a path and a choice.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from data.dicom import codecs
from data.dicom.colour import to_eight_bits, to_rgb
from data.dicom.files import OpenedObject, malformed_is_corrupt, open_object
from data.dicom.luts import Lut
from data.dicom.picture import GreyTransform, Picture, picture_of
from data.dicom.pixels import PixelForm, Sample, native_values, signed, stored_integers
from data.dicom.windows import VoiWindow, apply_window, robust_window, window_of_range
from data.errors import ImageError, Reason


@dataclass(frozen=True, slots=True)
class DicomReader:
    """Reads the frames of one file; a :class:`data.study.FrameReader`.

    Parameters
    ----------
    path : Path
        The file.
    view : int
        Which of the views that the file offers is displayed: its VOI tables first, then its windows, in
        their order, counted from 0; the last one where there are fewer.
    window : VoiWindow or None
        Counts before every view; on modality values.
    """

    path: Path
    view: int = 0
    window: VoiWindow | None = None

    def picture(self) -> Picture:
        """Give the layout and the transforms of the file's pixels.

        Raises
        ------
        ImageError
            If the file has no pixels, or not those that it declares.
        """
        try:
            status = self.path.stat()
        except OSError as error:
            raise ImageError(
                self.path, Reason.NOT_FOUND, f"cannot be opened ({error.strerror})", "check the path"
            ) from error
        return _picture(self.path, status.st_mtime_ns, status.st_size)

    def displayed(self, index: int, *, at_least_px: int | None = None) -> NDArray[np.uint8]:
        """Give a frame as a person sees it; see :meth:`data.study.FrameReader.displayed`.

        Only JPEG of 8 bits is decoded at a reduced scale. Padding is shown black. Without window or
        table the picture makes its own (:func:`data.dicom.windows.robust_window`); unsigned pixels of up
        to 8 bits without rescale are shown as they are.
        """
        picture = self.picture()
        values, is_rgb = self.decoded(index, at_least_px=at_least_px, picture=picture)
        if picture.is_colour:
            return _displayed_colour(values, picture, is_rgb=is_rgb)
        return _displayed_grey(values, picture, picture.transform(index), self.view, self.window)

    def quantities(self, index: int) -> NDArray[np.float32]:
        """Give the modality values of a grey frame; see :meth:`data.study.FrameReader.quantities`."""
        picture = self.picture()
        if picture.unit is None:
            raise ValueError(f"{self.path} is a colour picture and has no quantities")
        values, _ = self.decoded(index, picture=picture)
        return modality_values(values, picture, picture.transform(index))

    def stored(self, index: int) -> NDArray[np.generic]:
        """Give a frame's stored values, (rows, columns[, samples]), as the file's codec gives them."""
        return self.decoded(index)[0]

    def decoded(
        self, index: int, *, at_least_px: int | None = None, picture: Picture | None = None
    ) -> tuple[NDArray[np.generic], bool]:
        """Give a frame's stored values, and whether its colours have become RGB in the codec."""
        picture = picture or self.picture()
        if not 0 <= index < picture.n_frames:
            raise IndexError(f"{self.path} has {picture.n_frames} frames, no frame {index}")
        try:
            return _read_frame(self.path, picture, index, at_least_px)
        except codecs.CodecError as error:
            raise ImageError(
                self.path,
                error.reason,
                f"frame {index + 1}: {error}",
                "export it again, uncompressed if possible",
            ) from error


@lru_cache(maxsize=8)
def _picture(path: Path, modified_ns: int, n_bytes: int) -> Picture:  # noqa: ARG001  they say that it is the same file
    with open_object(path) as opened, malformed_is_corrupt(path):
        return picture_of(path, opened)


def modality_values(
    stored: NDArray[np.generic], picture: Picture, transform: GreyTransform
) -> NDArray[np.float32]:
    """Turn stored values into modality values by the modality table or the rescale.

    Parameters
    ----------
    stored : (rows, columns) integer or floating
        Stored values.
    picture : Picture
        The file's modality table, where it has one.
    transform : GreyTransform
        The frame's slope and intercept.

    Returns
    -------
    (rows, columns) float32
        Modality values: Hounsfield units for CT.
    """
    if picture.modality_lut is not None:
        return picture.modality_lut.apply(stored).astype(np.float32)
    if transform.slope == 1.0 and transform.intercept == 0.0:
        return stored.astype(np.float32)
    return (stored.astype(np.float64) * transform.slope + transform.intercept).astype(np.float32)


def _read_frame(
    path: Path, picture: Picture, index: int, at_least_px: int | None
) -> tuple[NDArray[np.generic], bool]:
    if not picture.pixels.is_encapsulated and not _is_deflated(picture):
        with path.open("rb") as file:
            return _native_frame(file, picture, index), False
    with open_object(path) as opened:
        if picture.pixels.is_encapsulated:
            return _encapsulated_frame(opened, picture, index, at_least_px)
        return _native_frame(opened.stream, picture, index), False


def _is_deflated(picture: Picture) -> bool:
    return picture.transfer_syntax == "1.2.840.10008.1.2.1.99"


def _native_frame(stream: BinaryIO, picture: Picture, index: int) -> NDArray[np.generic]:
    form = picture.form
    first_bit = index * form.n_bits
    begin, end = first_bit // 8, -(-(first_bit + form.n_bits) // 8)
    if picture.is_little_endian or form.bits_allocated > 8 or picture.pixels.vr == "OB":
        stream.seek(picture.pixels.offset + begin)
        data = stream.read(end - begin)
    else:
        # Words of big endian hold two bytes, or sixteen bits, in the other order (PS3.5 8.1.1).
        first_word = begin // 2 * 2
        stream.seek(picture.pixels.offset + first_word)
        data = _swapped(stream.read(end + end % 2 - first_word))[begin - first_word :]
    return native_values(data, form, is_little_endian=picture.is_little_endian, first_bit=first_bit % 8)


def _swapped(data: bytes) -> bytes:
    even = data + b"\0" * (len(data) % 2)
    return np.frombuffer(even, ">u2").astype("<u2").tobytes()


def _encapsulated_frame(
    opened: OpenedObject, picture: Picture, index: int, at_least_px: int | None
) -> tuple[NDArray[np.generic], bool]:
    pieces: list[bytes] = []
    for fragment in picture.fragments[index]:
        opened.stream.seek(fragment.offset)
        pieces.append(opened.stream.read(fragment.length))
    data = b"".join(pieces)
    form = picture.form
    if picture.transfer_syntax == codecs.DEFLATED_IMAGE_FRAME:
        n_frame_bytes = -(-form.n_bits // 8)
        unpacked = codecs.inflate_frame(data, n_frame_bytes)
        if len(unpacked) < n_frame_bytes:
            raise codecs.CodecError(f"unpacks to {len(unpacked):,} of {n_frame_bytes:,} bytes")
        return native_values(unpacked, form, is_little_endian=True), False
    decoded = codecs.decode_stream(
        data,
        rows=form.rows,
        columns=form.columns,
        samples=form.samples,
        assume_ycc=form.photometric != "RGB",
        at_least_px=at_least_px,
    )
    if decoded is None:
        return _rle_frame(data, form, picture.transfer_syntax), False
    values = decoded.values
    if form.is_signed and form.sample is Sample.INTEGER and values.dtype.kind in "ui":
        values = signed(values.view(f"u{values.dtype.itemsize}"), decoded.precision or form.bits_stored)
    return values, decoded.is_rgb


def _rle_frame(data: bytes, form: PixelForm, transfer_syntax: str) -> NDArray[np.generic]:
    if transfer_syntax.startswith("1.2.840.10008.1.2.4."):
        raise codecs.CodecError(f"is not a JPEG stream, it begins with {data[:4].hex(' ')}")
    if transfer_syntax != codecs.RLE_LOSSLESS:
        raise codecs.CodecError(
            f"has transfer syntax {transfer_syntax}, which is not known", Reason.UNSUPPORTED_ENCODING
        )
    n_pixels = form.rows * form.columns
    if form.bits_allocated == 1:
        packed = codecs.decode_rle(data, n_pixels=-(-n_pixels // 8), samples=1, bytes_per_sample=1)
        return native_values(packed, form, is_little_endian=True)
    n_bytes = form.bits_allocated // 8
    planes = codecs.decode_rle(data, n_pixels=n_pixels, samples=form.samples, bytes_per_sample=n_bytes)
    words = stored_integers(np.frombuffer(planes, f"<u{n_bytes}"), form)
    shaped = words.reshape(form.samples, form.rows, form.columns)
    return shaped[0] if form.samples == 1 else np.ascontiguousarray(shaped.transpose(1, 2, 0))


def _displayed_colour(values: NDArray[np.generic], picture: Picture, *, is_rgb: bool) -> NDArray[np.uint8]:
    if picture.palette is not None:
        return to_eight_bits(picture.palette.apply(values), picture.palette.bits)
    rgb = values if is_rgb else to_rgb(values, picture.form.photometric)
    return to_eight_bits(rgb[..., :3], max(8, picture.form.bits_stored) if rgb.dtype.itemsize > 1 else 8)


def _displayed_grey(
    stored: NDArray[np.generic],
    picture: Picture,
    transform: GreyTransform,
    view: int,
    window: VoiWindow | None,
) -> NDArray[np.uint8]:
    values = modality_values(stored, picture, transform)
    is_padding = None
    if picture.padding is not None:
        low, high = picture.padding
        is_padding = np.greater_equal(stored, low) & np.less_equal(stored, high)
    brightness: NDArray[np.floating]
    views: tuple[VoiWindow | Lut, ...] = (*picture.voi_luts, *transform.windows)
    if window is not None:
        brightness = apply_window(values, window)
    elif views:
        chosen = views[min(view, len(views) - 1)]
        if isinstance(chosen, VoiWindow):
            brightness = apply_window(values, chosen)
        else:
            brightness = chosen.apply(np.rint(values)).astype(np.float32) / ((1 << chosen.bits) - 1)
    elif _is_ready_to_show(picture, transform):
        brightness = apply_window(values, window_of_range(0.0, float((1 << picture.form.bits_stored) - 1)))
    else:
        counted = None if is_padding is None else ~is_padding
        brightness = apply_window(values, robust_window(values, counted))
    if picture.is_inverted:
        brightness = 1 - brightness
    if is_padding is not None:
        brightness[is_padding] = 0
    grey: NDArray[np.uint8] = np.rint(np.nan_to_num(brightness) * 255).clip(0, 255).astype(np.uint8)
    return grey


def _is_ready_to_show(picture: Picture, transform: GreyTransform) -> bool:
    form = picture.form
    is_plain = picture.modality_lut is None and (transform.slope, transform.intercept) == (1.0, 0.0)
    return is_plain and form.bits_stored <= 8 and not form.is_signed and form.sample is Sample.INTEGER
