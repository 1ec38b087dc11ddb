"""A photograph's file keeps its picture and nothing else."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from data.clean_photo import clean_photo
from data.errors import ImageError
from data.photo import decode_photo

CANARY = b"CANARY"


def picture() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (40, 56, 3)).astype(np.uint8))


def jpeg_with_everything(orientation: int = 6, **options: bool) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x013B], exif[0x8298] = orientation, "CANARY", "CANARY"
    exif.get_ifd(0x8825)[1] = "CANARY"
    written = BytesIO()
    picture().save(written, "JPEG", exif=exif, comment=CANARY, xmp=b"<x>CANARY</x>", **options)
    data = written.getvalue()
    iptc = b"\xff\xed\x00\x16Photoshop 3.0\x00" + CANARY
    return data[:2] + iptc + data[2:] + b"after the end " + CANARY


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_loses_exif_xmp_iptc_comment_and_tail_and_no_pixel(tmp_path: Path, progressive: bool) -> None:
    path = tmp_path / "CANARY.jpg"
    path.write_bytes(jpeg_with_everything(progressive=progressive))
    assert path.read_bytes().count(CANARY) >= 6

    clean = clean_photo(path)

    assert CANARY not in clean.content
    assert clean.suffix == ".jpg"
    assert np.array_equal(decode_photo(clean.content), decode_photo(path))
    assert decode_photo(clean.content).shape == (56, 40, 3)


def test_another_format_becomes_a_png_of_the_same_pixels(tmp_path: Path) -> None:
    told = PngInfo()
    told.add_text("Comment", "CANARY")
    path = tmp_path / "a.png"
    picture().save(path, pnginfo=told)

    clean = clean_photo(path)

    assert CANARY in path.read_bytes()
    assert CANARY not in clean.content
    assert np.array_equal(decode_photo(clean.content), np.asarray(picture()))


def test_every_cut_of_a_jpeg_is_an_error_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    whole = jpeg_with_everything()
    end = whole.index(b"after the end")
    for n_bytes in range(3, end - 1, 97):
        path.write_bytes(whole[:n_bytes])
        with pytest.raises(ImageError):
            clean_photo(path)
