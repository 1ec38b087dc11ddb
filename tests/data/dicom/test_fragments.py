"""Frames among fragments, and what codecs make of them."""

import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from numpy.typing import NDArray

from data.dicom.codecs import stream_info
from data.dicom.fragments import frame_fragments
from data.dicom.reading import DicomReader
from data.errors import ImageError, Reason

MakeDicom = Callable[..., Path]

JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_2000 = "1.2.840.10008.1.2.4.90"
HTJ2K = "1.2.840.10008.1.2.4.201"
JPEG_XL = "1.2.840.10008.1.2.4.110"
RLE = "1.2.840.10008.1.2.5"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"

GREY = {"Rows": 16, "Columns": 24, "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2"}
WORDS = {**GREY, "BitsAllocated": 16, "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0}


def frames(n: int) -> list[NDArray[np.uint16]]:
    return [np.random.default_rng(seed).integers(0, 4096, (16, 24)).astype(np.uint16) for seed in range(n)]


@pytest.mark.parametrize("has_offsets", [True, False])
@pytest.mark.parametrize("fragments_per_frame", [1, 3])
@pytest.mark.parametrize("n_frames", [1, 4])
def test_every_frame_is_found_with_and_without_a_table(
    make_dicom: MakeDicom, has_offsets: bool, fragments_per_frame: int, n_frames: int
) -> None:
    pictures = frames(n_frames)
    path = make_dicom(
        [imagecodecs.jpegls_encode(picture) for picture in pictures],
        syntax=JPEG_LS,
        has_offsets=has_offsets,
        fragments_per_frame=fragments_per_frame,
        **{**WORDS, "NumberOfFrames": n_frames},
    )
    for index in reversed(range(n_frames)):
        assert np.array_equal(DicomReader(path).stored(index), pictures[index])


def test_the_extended_table_cuts_frames_of_several_fragments() -> None:
    items = b"".join(
        b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part for part in (b"", b"aa", b"bb", b"cc")
    )
    stream = BytesIO(items)
    found = frame_fragments(Path("x"), stream, 0, len(items), 2, extended_offsets=(0, 20))
    assert [[items[one.offset : one.offset + one.length] for one in frame] for frame in found] == [
        [b"aa", b"bb"],
        [b"cc"],
    ]


def test_a_table_that_points_at_no_item_is_not_believed(make_dicom: MakeDicom) -> None:
    pictures = frames(2)
    path = make_dicom(
        [imagecodecs.jpegls_encode(picture) for picture in pictures],
        syntax=JPEG_LS,
        fragments_per_frame=2,
        **{**WORDS, "NumberOfFrames": 2},
    )
    plain = path.read_bytes()
    at = plain.index(b"\xfe\xff\x00\xe0\x08\x00\x00\x00") + 12
    path.write_bytes(plain[:at] + b"\x07\x00\x00\x00" + plain[at + 4 :])
    assert np.array_equal(DicomReader(path).stored(1), pictures[1])


def test_fewer_fragments_than_frames_is_truncated(make_dicom: MakeDicom) -> None:
    path = make_dicom([b"ab"], syntax=JPEG_LS, **{**WORDS, "NumberOfFrames": 30})
    with pytest.raises(ImageError, match="30 frames and holds 1 fragments") as caught:
        DicomReader(path).picture()
    assert caught.value.reason is Reason.TRUNCATED


def test_a_file_that_ends_within_a_fragment_is_truncated(make_dicom: MakeDicom) -> None:
    path = make_dicom([imagecodecs.jpegls_encode(frames(1)[0])], syntax=JPEG_LS, **WORDS)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ImageError) as caught:
        DicomReader(path).displayed(0)
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (JPEG_LOSSLESS, lambda picture: imagecodecs.ljpeg_encode(picture, bitspersample=16)),
        (JPEG_LS, imagecodecs.jpegls_encode),
        (JPEG_2000, lambda picture: imagecodecs.jpeg2k_encode(picture, level=0, codecformat="j2k")),
        (HTJ2K, lambda picture: imagecodecs.htj2k_encode(picture, reversible=True)),
        (JPEG_XL, lambda picture: imagecodecs.jpegxl_encode(picture, lossless=True)),
    ],
)
def test_lossless_codecs_give_back_what_went_in(
    make_dicom: MakeDicom, syntax: str, encode: Callable[[NDArray[np.uint16]], bytes]
) -> None:
    picture = frames(1)[0]
    path = make_dicom([encode(picture)], syntax=syntax, **WORDS)
    assert np.array_equal(DicomReader(path).stored(0), picture)


def test_a_signed_picture_in_an_unsigned_stream_is_signed_again(make_dicom: MakeDicom) -> None:
    picture = np.arange(-192, 192, dtype=np.int16).reshape(16, 24)
    stream = imagecodecs.jpegls_encode(picture.view(np.uint16))
    path = make_dicom([stream], syntax=JPEG_LS, **{**WORDS, "PixelRepresentation": 1})
    assert np.array_equal(DicomReader(path).stored(0), picture)


def test_a_frame_of_single_bits_may_be_deflated(make_dicom: MakeDicom) -> None:
    bits = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 0]], np.uint8)
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(np.packbits(bits, bitorder="little").tobytes()) + packer.flush()
    layout = {**WORDS, "Rows": 3, "Columns": 3, "BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    path = make_dicom([packed], syntax=DEFLATED_FRAME, **layout)
    assert DicomReader(path).stored(0).tolist() == bits.tolist()


def rle_frame(*segments: bytes) -> bytes:
    offsets, position = [], 64
    for segment in segments:
        offsets.append(position)
        position += len(segment)
    header = [len(segments), *offsets, *[0] * (15 - len(segments))]
    return np.array(header, "<u4").tobytes() + b"".join(segments)


def test_rle_keeps_the_most_significant_byte_first(make_dicom: MakeDicom) -> None:
    # Two pixels, 0x0102 and 0x0103: a run of the high byte, then the low bytes as they are.
    data = rle_frame(b"\xff\x01", b"\x01\x02\x03\x00")
    path = make_dicom([data], syntax=RLE, **{**WORDS, "Rows": 1, "Columns": 2})
    assert DicomReader(path).stored(0).tolist() == [[0x0102, 0x0103]]


@pytest.mark.parametrize(
    "data",
    [
        rle_frame(b"\xff\x01"),
        rle_frame(b"\xff\x01", b"\x00\x02"),
        b"\x02\x00\x00\x00" + b"\xff" * 60,
        b"\x01",
    ],
)
def test_a_broken_rle_frame_is_corrupt(make_dicom: MakeDicom, data: bytes) -> None:
    path = make_dicom([data], syntax=RLE, **{**WORDS, "Rows": 1, "Columns": 2})
    with pytest.raises(ImageError) as caught:
        DicomReader(path).displayed(0)
    assert caught.value.reason is Reason.CORRUPT


def test_a_small_stream_cannot_ask_for_a_large_picture(make_dicom: MakeDicom) -> None:
    stream = imagecodecs.jpegls_encode(np.zeros((2000, 2000), np.uint16))
    path = make_dicom([stream], syntax=JPEG_LS, **WORDS)
    with pytest.raises(ImageError, match="holds 2000x2000 pixels") as caught:
        DicomReader(path).displayed(0)
    assert caught.value.reason is Reason.CORRUPT


@pytest.mark.parametrize(
    ("syntax", "encode"),
    [
        (JPEG_LOSSLESS, lambda picture: imagecodecs.ljpeg_encode(picture, bitspersample=16)),
        (JPEG_LS, imagecodecs.jpegls_encode),
        (JPEG_2000, lambda picture: imagecodecs.jpeg2k_encode(picture, level=0, codecformat="j2k")),
        (HTJ2K, lambda picture: imagecodecs.htj2k_encode(picture, reversible=True)),
    ],
)
@pytest.mark.parametrize("share", [0.5, 0.9, 0.98])
def test_a_stream_that_was_cut_is_never_shown_with_its_rest_in_grey(
    make_dicom: MakeDicom, syntax: str, encode: Callable[[NDArray[np.uint16]], bytes], share: float
) -> None:
    stream = bytes(encode(frames(1)[0]))
    path = make_dicom([stream[: int(len(stream) * share)]], syntax=syntax, **WORDS)
    with pytest.raises(ImageError) as caught:
        DicomReader(path).displayed(0)
    assert caught.value.reason in {Reason.TRUNCATED, Reason.CORRUPT}


RED = np.full((16, 24, 3), [200, 30, 40], np.uint8)
BYTES = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7, "PixelRepresentation": 0}
COLOUR = {"Rows": 16, "Columns": 24, "SamplesPerPixel": 3, "PlanarConfiguration": 0, **BYTES}


@pytest.mark.parametrize("is_grey", [True, False])
def test_a_large_jpeg_is_decoded_at_the_scale_that_is_asked_for(make_dicom: MakeDicom, is_grey: bool) -> None:
    picture = np.repeat(np.repeat(RED, 64, axis=0), 64, axis=1)
    picture = np.ascontiguousarray(picture[..., 0]) if is_grey else picture
    elements: dict[str, object] = {**(GREY if is_grey else COLOUR), **BYTES, "Rows": 1024, "Columns": 1536}
    elements["PhotometricInterpretation"] = "MONOCHROME2" if is_grey else "YBR_FULL"
    path = make_dicom([imagecodecs.jpeg8_encode(picture, level=95)], syntax=JPEG_BASELINE, **elements)
    reader = DicomReader(path)
    assert reader.displayed(0).shape[:2] == (1024, 1536)
    small = reader.displayed(0, at_least_px=200)
    assert small.shape[:2] == (256, 384)
    assert np.abs(small.astype(int) - picture[:256, :384]).max() <= 3


@pytest.mark.parametrize(
    ("stream_space", "photometric"),
    [("YCBCR", "YBR_FULL_422"), ("YCBCR", "RGB"), ("RGB", "RGB"), ("RGB", "YBR_FULL")],
)
def test_the_streams_own_colour_space_wins_over_the_header(
    make_dicom: MakeDicom, stream_space: str, photometric: str
) -> None:
    # libjpeg marks what it writes: JFIF for YCbCr, Adobe for RGB.
    stream = imagecodecs.jpeg8_encode(
        RED, level=95, colorspace="RGB", outcolorspace=stream_space, subsampling="444"
    )
    path = make_dicom([stream], syntax=JPEG_BASELINE, **{**COLOUR, "PhotometricInterpretation": photometric})
    shown = DicomReader(path).displayed(0)
    assert np.abs(shown.astype(int) - RED).max() <= 3


@pytest.mark.parametrize("photometric", ["RGB", "YBR_RCT"])
def test_jpeg_2000_undoes_its_own_colour_transform(make_dicom: MakeDicom, photometric: str) -> None:
    stream = imagecodecs.jpeg2k_encode(RED, level=0, codecformat="j2k", mct=photometric == "YBR_RCT")
    path = make_dicom([stream], syntax=JPEG_2000, **{**COLOUR, "PhotometricInterpretation": photometric})
    assert np.array_equal(DicomReader(path).displayed(0), RED)


def test_a_stream_tells_its_size_and_depth() -> None:
    info = stream_info(bytes(imagecodecs.jpegls_encode(np.zeros((5, 7), np.uint16))))
    assert info is not None
    assert (info.codec, info.rows, info.columns, info.samples, info.precision) == ("jpegls", 5, 7, 1, 16)
    assert stream_info(b"\x01\x00\x00\x00" * 20) is None
