"""Files that are broken, false or greedy: a coded reason at once, in little memory."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dicom import files
from data.dicom.files import is_dicom, looks_like_dicom
from data.dicom.header import read_header
from data.dicom.reading import DicomReader
from data.errors import ImageError, Reason

MakeDicom = Callable[..., Path]
PIXELS = np.arange(16, dtype=np.uint8).reshape(4, 4)


def reason_of(path: Path) -> Reason:
    with pytest.raises(ImageError) as caught:
        DicomReader(path).displayed(0)
    assert path.name in str(caught.value)
    return caught.value.reason


def test_an_empty_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "empty.dcm"
    path.touch()
    assert reason_of(path) is Reason.EMPTY_FILE
    assert not is_dicom(path)


def test_a_text_file_named_dcm_is_not_dicom(tmp_path: Path) -> None:
    path = tmp_path / "notes.dcm"
    path.write_text("patient name: none\n" * 50, encoding="utf-8")
    assert reason_of(path) is Reason.NOT_DICOM
    assert not is_dicom(path)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    assert reason_of(tmp_path / "nowhere.dcm") is Reason.NOT_FOUND
    assert not is_dicom(tmp_path / "nowhere.dcm")


def test_what_a_file_is_called_does_not_matter(make_dicom: MakeDicom) -> None:
    assert is_dicom(make_dicom(PIXELS, name="holiday.jpg"))


def test_a_header_without_pixels_has_its_reason(make_dicom: MakeDicom) -> None:
    assert reason_of(make_dicom()) is Reason.NO_PIXELS


@pytest.mark.parametrize("n_frames", ["1000000000", "100001"])
def test_a_thousand_million_frames_are_refused_at_once(make_dicom: MakeDicom, n_frames: str) -> None:
    path = make_dicom(PIXELS, NumberOfFrames=n_frames)
    tracemalloc.start()
    reason = reason_of(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reason is Reason.TOO_MANY_FRAMES
    assert peak_bytes < 4_000_000


@pytest.mark.parametrize("elements", [{"NumberOfFrames": "99999"}, {"Rows": 60000, "Columns": 2000}])
def test_more_pixels_than_bytes_are_refused_without_making_room(
    make_dicom: MakeDicom, elements: dict[str, object]
) -> None:
    path = make_dicom(PIXELS, **elements)
    tracemalloc.start()
    reason = reason_of(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert reason is Reason.TRUNCATED
    assert peak_bytes < 4_000_000


def test_a_frame_beyond_the_limit_is_refused(make_dicom: MakeDicom) -> None:
    assert reason_of(make_dicom(PIXELS, Rows=65535, Columns=65535)) is Reason.TOO_MANY_PIXELS


def test_a_cut_file_says_how_much_is_missing(make_dicom: MakeDicom) -> None:
    path = make_dicom(np.zeros((64, 64), np.uint16))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ImageError, match="holds 8,092 of the 8,192 bytes") as caught:
        DicomReader(path).displayed(0)
    assert caught.value.reason is Reason.TRUNCATED


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "BitsAllocated"])
def test_an_object_without_its_layout_is_corrupt(make_dicom: MakeDicom, keyword: str) -> None:
    assert reason_of(make_dicom(PIXELS, **{keyword: None})) is Reason.CORRUPT


def test_an_unknown_transfer_syntax_is_named(make_dicom: MakeDicom) -> None:
    path = make_dicom([bytes(64)], syntax="1.2.3.999", Rows=4, Columns=4, BitsAllocated=8)
    with pytest.raises(ImageError, match=r"1\.2\.3\.999") as caught:
        DicomReader(path).displayed(0)
    assert caught.value.reason is Reason.UNSUPPORTED_ENCODING


def test_a_stream_that_is_no_jpeg_is_corrupt(make_dicom: MakeDicom) -> None:
    path = make_dicom([bytes(64)], syntax="1.2.840.10008.1.2.4.50", Rows=4, Columns=4, BitsAllocated=8)
    assert reason_of(path) is Reason.CORRUPT


def test_a_deflated_bomb_is_refused(
    make_dicom: MakeDicom, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(files, "MAX_INFLATED_BYTES", 1 << 20)
    plain = make_dicom(syntax="1.2.840.10008.1.2.1.99").read_bytes()
    packer = zlib.compressobj(wbits=-15)
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(plain[: meta_end(plain)] + packer.compress(bytes(64 << 20)) + packer.flush())
    assert reason_of(bomb) is Reason.TOO_MANY_BYTES


def test_an_element_that_claims_four_gigabytes_takes_no_memory(make_dicom: MakeDicom) -> None:
    plain = make_dicom().read_bytes()
    greedy = b"\x09\x00\x10\x10OB\x00\x00" + struct.pack("<I", 0xFFFFFFF0) + b"abc"
    path = make_dicom()
    path.write_bytes(plain + greedy)
    tracemalloc.start()
    assert reason_of(path) is Reason.TRUNCATED
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4_000_000


def test_a_header_beyond_the_limit_is_refused(make_dicom: MakeDicom, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_HEADER_BYTES", 100)
    assert reason_of(make_dicom(PIXELS)) is Reason.TOO_MANY_BYTES


def test_sequences_nested_without_end_are_corrupt(make_dicom: MakeDicom) -> None:
    path = make_dicom()
    item = b"\x08\x00\x15\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(path.read_bytes() + item * 5000)
    with pytest.raises(ImageError) as caught:
        read_header(path)
    assert caught.value.reason is Reason.CORRUPT


@pytest.mark.parametrize("has_preamble", [True, False])
@pytest.mark.parametrize("has_meta", [True, False])
def test_a_file_without_preamble_or_meta_is_recognised(
    make_dicom: MakeDicom, has_preamble: bool, has_meta: bool
) -> None:
    path = make_dicom(PIXELS)
    plain = path.read_bytes()
    meta = plain[132 : meta_end(plain)] if has_meta else b""
    path.write_bytes((plain[:132] if has_preamble else b"") + meta + plain[meta_end(plain) :])
    assert is_dicom(path)
    assert DicomReader(path).stored(0).tolist() == PIXELS.tolist()


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (bytes(128) + b"DICM", True),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", True),
        (b"\x08\x00\x05\x00\x0a\x00\x00\x00ISO_IR 100", True),
        (b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100", True),
        (b"\x89PNG\r\n\x1a\n" + bytes(132), False),
        (b"\xff\xd8\xff\xe0" + bytes(140), False),
        (b"PK\x03\x04" + bytes(140), False),
        (b"", False),
        (bytes(140), False),
    ],
)
def test_content_decides_what_is_dicom(head: bytes, answer: bool) -> None:
    assert looks_like_dicom(head) is answer


@given(st.binary(max_size=200))
def test_no_bytes_break_the_question(head: bytes) -> None:
    assert looks_like_dicom(head) in {True, False}


def test_a_damaged_byte_anywhere_gives_a_picture_or_a_reason(make_dicom: MakeDicom, tmp_path: Path) -> None:
    plain = make_dicom(PIXELS).read_bytes()
    for position in range(128, len(plain)):
        path = tmp_path / "damaged.dcm"
        path.write_bytes(plain[:position] + bytes([plain[position] ^ 0xFF]) + plain[position + 1 :])
        with suppress(ImageError):
            assert DicomReader(path).displayed(0).dtype == np.uint8


def test_a_file_cut_anywhere_gives_a_picture_or_a_reason(make_dicom: MakeDicom, tmp_path: Path) -> None:
    plain = make_dicom(PIXELS).read_bytes()
    for n_bytes in range(len(plain)):
        path = tmp_path / "cut.dcm"
        path.write_bytes(plain[:n_bytes])
        with pytest.raises(ImageError):
            DicomReader(path).displayed(0)


def meta_end(plain: bytes) -> int:
    """Say where the file meta information ends: 12 bytes of group length element after the prefix."""
    (length,) = struct.unpack_from("<I", plain, 140)
    return 144 + int(length)
