"""Photographs that must not be taken: each gets its code, quickly and within bounds."""

import copy
import io
import resource
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data import containers, jpeg, photo
from data.errors import ImageError, Reason
from data.photo import decode_photo, is_photo, read_photo

CHANCE = np.random.default_rng(3)
SCENE = Image.fromarray(CHANCE.integers(0, 255, (12, 16, 3), dtype=np.uint8)).resize((160, 120))


def written(file_format: str, image: Image.Image = SCENE, **options: object) -> bytes:
    if file_format == "HEIF":
        pillow_heif.register_heif_opener()
    content = io.BytesIO()
    image.save(content, file_format, **options)
    return content.getvalue()


WHOLE = {name: written(name) for name in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "HEIF")}
WHOLE["progressive JPEG"] = written("JPEG", progressive=True)
WHOLE["CMYK JPEG"] = written("JPEG", SCENE.convert("CMYK"))
WHOLE["deflated TIFF"] = written("TIFF", compression="tiff_deflate")
WHOLE["animated WebP"] = written("WEBP", save_all=True, append_images=[SCENE.rotate(180)])


def refused(content: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_photo(content, name="a.jpg")
    assert "a.jpg" in str(caught.value)
    return caught.value


@pytest.mark.parametrize("kind", WHOLE)
@pytest.mark.parametrize("part", [0.3, 0.6, 0.97])
def test_a_file_that_was_cut_short_is_never_shown(tmp_path: Path, kind: str, part: float) -> None:
    cut = WHOLE[kind][: int(len(WHOLE[kind]) * part)]

    assert refused(cut).reason in {Reason.TRUNCATED, Reason.CORRUPT}

    path = tmp_path / "cut"
    path.write_bytes(cut)
    if kind not in {"TIFF", "deflated TIFF", "BMP"}:  # these say their length nowhere
        with pytest.raises(ImageError) as caught:
            read_photo(path)
        assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG", "CMYK JPEG"])
def test_a_cut_jpeg_with_an_end_marker_put_on_is_not_shown_either(kind: str) -> None:
    cut = WHOLE[kind][: len(WHOLE[kind]) // 2] + b"\xff\xd9"

    assert refused(cut).reason is Reason.TRUNCATED


@pytest.mark.parametrize("bits", [0, 1, 17, 191])
def test_a_jpeg_of_impossible_depth_gets_a_code(bits: int) -> None:
    content = bytearray(WHOLE["JPEG"])
    content[content.index(b"\xff\xc0") + 4] = bits

    assert refused(bytes(content)).reason is Reason.CORRUPT


def test_what_follows_a_jpegs_image_does_not_matter() -> None:
    content = WHOLE["JPEG"] + WHOLE["JPEG"][:100] + b"a film"

    assert np.array_equal(decode_photo(content), decode_photo(WHOLE["JPEG"]))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_file_gives_a_picture_or_a_code(data: st.DataObject) -> None:
    content = bytearray(WHOLE[data.draw(st.sampled_from(sorted(WHOLE)))])
    # Headers are where a parser can be led astray: half of the blows fall there.
    places = st.one_of(st.integers(0, 199), st.integers(0, len(content) - 1))
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=6)):
        content[min(place, len(content) - 1)] = value

    try:
        picture = decode_photo(bytes(content))
    except ImageError:
        return
    assert picture.ndim == 3
    assert picture.shape[2] == 3


@given(
    st.binary(max_size=300),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"BM", b"RIFF    WEBP"]),
)
def test_noise_gets_a_code(noise: bytes, start: bytes) -> None:
    with pytest.raises(ImageError):
        decode_photo(start + noise)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", Reason.EMPTY_FILE),
        (b"Dear doctor, here is the picture", Reason.NOT_AN_IMAGE),
        (b"\xff", Reason.NOT_AN_IMAGE),
        (bytes(128) + b"DICM" + bytes(100), Reason.NOT_AN_IMAGE),
        (b"II*\x00" + bytes(124) + b"DICM" + bytes(100), Reason.NOT_AN_IMAGE),
        (b"GIF89a" + bytes(100), Reason.UNSUPPORTED_ENCODING),
        (b"%PDF-1.7" + bytes(100), Reason.UNSUPPORTED_ENCODING),
        (b"\0\0\0\x20ftypavif" + bytes(100), Reason.UNSUPPORTED_ENCODING),
        (b"\xff\xd8\xff\xd9", Reason.CORRUPT),
        (b"\xff\xd8\xff\xe0\x00", Reason.TRUNCATED),
        (b"\x89PNG\r\n\x1a\n", Reason.TRUNCATED),
    ],
)
def test_what_is_no_photograph_gets_its_code(tmp_path: Path, content: bytes, reason: Reason) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(content)

    assert refused(content).reason is reason
    with pytest.raises(ImageError) as caught:
        read_photo(path)
    assert caught.value.reason is reason


def test_a_missing_file_and_a_folder_are_not_found(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.jpg", tmp_path):
        with pytest.raises(ImageError) as caught:
            read_photo(path)
        assert caught.value.reason is Reason.NOT_FOUND
        assert not is_photo(path)


def test_the_error_crosses_to_another_process_whole() -> None:
    failure = refused(b"")

    assert str(copy.copy(failure)) == str(failure)  # by the same road as to a process


# Bombs -------------------------------------------------------------------------------------------------

SIDE = 40_000


def png_header(columns: int, rows: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", columns, rows, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def tiff_header(columns: int, rows: int) -> bytes:
    tags = [
        (256, 4, columns),
        (257, 4, rows),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
    ]
    tags += [(278, 4, rows), (279, 4, 100)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def bmp_header(columns: int, rows: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 154, 0, 0, 54, 40, columns, rows, 1, 24, 0, 0, 0, 0, 0, 0)
        + bytes(100)
    )


def webp_header(columns: int, rows: int) -> bytes:
    body = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4)
    body += (columns - 1).to_bytes(3, "little") + (rows - 1).to_bytes(3, "little")
    body += b"VP8L" + struct.pack("<I", 6) + b"\x2f\0\0\0\0\0"
    return b"RIFF" + struct.pack("<I", len(body)) + body


def jpeg_header(columns: int, rows: int) -> bytes:
    content = bytearray(WHOLE["JPEG"])
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", rows, columns)
    return bytes(content)


@pytest.mark.parametrize("make", [png_header, tiff_header, bmp_header, webp_header, jpeg_header])
def test_forty_thousand_pixels_a_side_are_refused_by_the_header(
    tmp_path: Path, make: Callable[[int, int], bytes]
) -> None:
    content = make(SIDE, SIDE)
    path = tmp_path / "bomb"
    path.write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    failure = refused(content)
    with pytest.raises(ImageError) as caught:
        read_photo(path)

    assert failure.reason is caught.value.reason is Reason.TOO_MANY_PIXELS
    assert "40,000 x 40,000" in str(failure) or "1600000000 pixels" in str(failure)
    grown_mib = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown_mib < 64  # the picture itself would be 4,578 MiB


def test_a_jpeg_of_a_thousand_passes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jpeg, "MAX_SCANS", 5)

    assert refused(WHOLE["progressive JPEG"]).reason is Reason.UNSUPPORTED_ENCODING
    assert decode_photo(WHOLE["JPEG"]).shape == (120, 160, 3)


def test_a_tiff_of_too_many_pages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MAX_PAGES", 2)
    page = Image.new("L", (4, 4))

    assert decode_photo(written("TIFF", page, save_all=True, append_images=[page])).shape == (4, 4, 3)
    crowded = written("TIFF", page, save_all=True, append_images=[page, page])
    assert refused(crowded).reason is Reason.TOO_MANY_FRAMES


def test_a_file_of_too_many_bytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo, "MAX_BYTES", 1000)

    assert refused(WHOLE["PNG"]).reason is Reason.TOO_MANY_BYTES


def test_a_page_that_is_larger_than_the_first_is_measured_too(monkeypatch: pytest.MonkeyPatch) -> None:
    content = written("TIFF", Image.new("L", (4, 4)), save_all=True, append_images=[Image.new("L", (40, 40))])
    monkeypatch.setattr(containers, "MAX_PIXELS", 100)

    assert decode_photo(content).shape == (4, 4, 3)
    with pytest.raises(ImageError) as caught:
        decode_photo(content, page=1)
    assert caught.value.reason is Reason.TOO_MANY_PIXELS


def test_floating_point_colour_is_said_not_to_be_read() -> None:
    pixels = np.zeros((4, 4, 3), np.float32).tobytes()
    tags = [(256, 4, 4), (257, 4, 4), (258, 3, 32), (259, 3, 1), (262, 3, 2), (273, 4, 200), (277, 3, 3)]
    tags += [(278, 4, 4), (279, 4, len(pixels)), (339, 3, 3)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    tiff = (b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)).ljust(200, b"\0") + pixels

    assert refused(tiff).reason is Reason.UNSUPPORTED_ENCODING
