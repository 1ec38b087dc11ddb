"""Photographs of every format come out upright, in sRGB, without their metadata."""

import copy
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms, ImageOps

from data.errors import ImageError, Reason
from data.photo import PhotoReader, decode_photo, is_photo, read_photo
from data.study import Modality, PatientContext

GPS = 0x8825
ORIENTATION = 0x0112

# A scene of 3 x 2 fields: what a person sees, whichever way the camera was held.
FIELDS = np.array(
    [[[255, 0, 0], [0, 255, 0], [0, 0, 255]], [[255, 255, 0], [0, 255, 255], [255, 0, 255]]], np.uint8
)
SCENE = FIELDS.repeat(32, axis=0).repeat(32, axis=1)

# How the scene is stored by a camera that says so with each orientation (EXIF 2.32, 4.6.4 A).
STORED: dict[int, Callable[[NDArray[np.uint8]], NDArray[np.uint8]]] = {
    1: lambda scene: scene,
    2: lambda scene: scene[:, ::-1],
    3: lambda scene: scene[::-1, ::-1],
    4: lambda scene: scene[::-1],
    5: lambda scene: scene.transpose(1, 0, 2),
    6: lambda scene: np.rot90(scene, 1),
    7: lambda scene: scene[::-1, ::-1].transpose(1, 0, 2),
    8: lambda scene: np.rot90(scene, -1),
}
FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "TIFF": {},
    "BMP": {},
    "HEIF": {"quality": -1, "chroma": 444},
}


def written(image: Image.Image, file_format: str, **options: object) -> bytes:
    if file_format == "HEIF":
        pillow_heif.register_heif_opener()
    content = io.BytesIO()
    image.save(content, file_format, **options)
    return content.getvalue()


def exif_of(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    exif.get_ifd(GPS)[2] = (31.0, 14.0, 5.0)
    return exif


def differs_by(picture: NDArray[np.uint8], expected: NDArray[np.uint8]) -> int:
    assert picture.shape == expected.shape
    assert picture.dtype == np.uint8
    return int(np.abs(picture.astype(np.int16) - expected).max())


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_gives_the_scene_that_was_written(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "photo"
    path.write_bytes(written(Image.fromarray(SCENE), file_format, **FORMATS[file_format]))

    assert is_photo(path)
    assert differs_by(decode_photo(path), SCENE) <= 6
    study = read_photo(path)
    (frame,) = study.frames
    assert (frame.instance.rows, frame.instance.columns, frame.instance.n_frames) == (64, 96, 1)
    assert differs_by(frame.displayed(), SCENE) <= 6


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_a_photograph_is_turned_the_way_it_was_taken(
    tmp_path: Path, file_format: str, orientation: int
) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](SCENE)))
    path = tmp_path / "photo"
    path.write_bytes(written(stored, file_format, exif=exif_of(orientation), **FORMATS[file_format]))

    picture = decode_photo(path)

    assert differs_by(picture, SCENE) <= 6
    assert differs_by(np.asarray(upright_by_pillow(path)), SCENE) <= 6  # the reference agrees
    (instance,) = read_photo(path).series[0].instances
    assert (instance.rows, instance.columns) == (64, 96)


def upright_by_pillow(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return ImageOps.exif_transpose(image).convert("RGB")


@pytest.mark.parametrize("orientation", STORED)
def test_the_turn_of_a_heic_is_not_made_twice(orientation: int) -> None:
    # The writer turns EXIF's orientation into the container's own rotation and mirror.
    stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](SCENE)))

    content = written(stored, "HEIF", exif=exif_of(orientation).tobytes(), **FORMATS["HEIF"])

    assert b"irot" in content or b"imir" in content or orientation == 1
    assert differs_by(decode_photo(content), SCENE) <= 6


@pytest.mark.parametrize("order", ["II", "MM"])
def test_both_byte_orders_of_exif_are_read(order: str) -> None:
    endian = "<" if order == "II" else ">"

    block = b"Exif\0\0" + order.encode() + struct.pack(f"{endian}HIH", 42, 8, 1)
    block += struct.pack(f"{endian}HHIHH", ORIENTATION, 3, 1, 6, 0) + bytes(4)
    content = written(Image.fromarray(np.ascontiguousarray(STORED[6](SCENE))), "JPEG", exif=block, quality=95)

    assert decode_photo(content).shape == SCENE.shape


@pytest.mark.parametrize(
    "block", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"]
)
def test_a_broken_exif_block_does_not_cost_the_picture(block: bytes) -> None:
    assert decode_photo(written(Image.fromarray(SCENE), "JPEG", exif=block)).shape == SCENE.shape


def test_an_exif_block_behind_the_pixels_of_a_png_counts(tmp_path: Path) -> None:
    stored = Image.fromarray(np.ascontiguousarray(STORED[6](SCENE)))
    content = written(stored, "PNG", exif=exif_of(6))
    start = content.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(content[start : start + 4], "big")
    moved = content[:start] + content[end:-12] + content[start:end] + content[-12:]
    path = tmp_path / "photo.png"
    path.write_bytes(moved)

    assert moved.index(b"IDAT") < moved.index(b"eXIf")
    assert differs_by(decode_photo(path), SCENE) == 0
    (instance,) = read_photo(path).series[0].instances
    assert (instance.rows, instance.columns) == (64, 96)


# Colour ------------------------------------------------------------------------------------------------


def profile_of(primaries: tuple[float, ...], gamma: float) -> bytes:
    """Make an ICC profile of RGB primaries (x, y of red, green and blue), white D65 and a pure gamma."""

    xy = np.array(primaries).reshape(3, 2)
    columns = np.stack([xy[:, 0] / xy[:, 1], np.ones(3), (1 - xy.sum(axis=1)) / xy[:, 1]])
    white = np.array([0.95047, 1.0, 1.08883])
    columns = columns * np.linalg.solve(columns, white)
    bradford = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    d50 = np.array([0.96422, 1.0, 0.82521])
    adapted = np.linalg.inv(bradford) @ np.diag(bradford @ d50 / (bradford @ white)) @ bradford @ columns

    def xyz(values: NDArray[np.float64]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(float(v) * 65536)) for v in values)

    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    text = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {b"desc": text + bytes(-len(text) % 4), b"wtpt": xyz(d50), b"cprt": b"text\0\0\0\0none"}
    tags |= {name: xyz(adapted[:, index]) for index, name in enumerate([b"rXYZ", b"gXYZ", b"bXYZ"])}
    tags |= dict.fromkeys([b"rTRC", b"gTRC", b"bTRC"], curve)
    table, body, offset = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        table += name + struct.pack(">II", offset + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    head = struct.pack(">I4sI4s4s4s", offset + len(body), b"test", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + b"".join(struct.pack(">i", round(v * 65536)) for v in d50)
    return head.ljust(128, b"\0") + table + body


ADOBE_RGB = profile_of((0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 2.19921875)
DISPLAY_P3 = profile_of((0.68, 0.32, 0.265, 0.69, 0.15, 0.06), 2.2)


def adobe_rgb_to_srgb(colour: tuple[int, int, int]) -> NDArray[np.float64]:
    """The closed form: Adobe RGB (1998) to XYZ to linear sRGB to sRGB (IEC 61966-2-1)."""
    to_xyz = np.array([[0.57667, 0.18556, 0.18823], [0.29734, 0.62736, 0.07529], [0.02703, 0.07069, 0.99134]])
    to_linear = np.array(
        [[3.24045, -1.53714, -0.49853], [-0.96927, 1.87601, 0.04156], [0.05564, -0.20403, 1.05723]]
    )
    linear = np.clip(to_linear @ to_xyz @ (np.array(colour) / 255) ** 2.19921875, 0, 1)
    return np.asarray(
        255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    )


@pytest.mark.parametrize("colour", [(200, 120, 100), (128, 128, 128), (90, 160, 60)])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP", "HEIF"])
def test_adobe_rgb_becomes_srgb(file_format: str, colour: tuple[int, int, int]) -> None:
    image = Image.new("RGB", (64, 64), colour)
    content = written(image, file_format, icc_profile=ADOBE_RGB, **FORMATS[file_format])

    picture = decode_photo(content)

    assert np.abs(picture.mean(axis=(0, 1)) - adobe_rgb_to_srgb(colour)).max() <= 3


def test_display_p3_red_becomes_the_stronger_srgb_red() -> None:
    content = written(Image.new("RGB", (32, 32), (200, 60, 60)), "PNG", icc_profile=DISPLAY_P3)

    red, green, blue = decode_photo(content)[0, 0].tolist()

    assert red > 210
    assert green < 50
    assert blue < 60


def test_an_srgb_profile_changes_nothing() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

    assert differs_by(decode_photo(written(Image.fromarray(SCENE), "PNG", icc_profile=profile)), SCENE) == 0


@pytest.mark.parametrize("profile", [b"not a profile", ADOBE_RGB[:200], ADOBE_RGB[:128] + bytes(300)])
def test_a_broken_profile_is_passed_over(profile: bytes) -> None:
    assert differs_by(decode_photo(written(Image.fromarray(SCENE), "PNG", icc_profile=profile)), SCENE) == 0


def test_a_profile_of_another_colour_space_is_passed_over() -> None:
    grey = Image.new("L", (8, 8), 77)

    assert decode_photo(written(grey, "PNG", icc_profile=ADOBE_RGB))[0, 0].tolist() == [77, 77, 77]


def test_cmyk_of_adobes_programs_and_of_others_show_the_same_scene() -> None:
    ink = Image.fromarray(SCENE).convert("CMYK")
    adobe = written(ink, "JPEG", quality=95, subsampling=0)
    start = adobe.index(b"\xff\xee")
    inverted = written(ImageChops.invert(ink), "JPEG", quality=95, subsampling=0)
    other = inverted[:start] + inverted[start + 16 :]

    assert adobe[start + 4 : start + 9] == b"Adobe"
    assert differs_by(decode_photo(adobe), SCENE) <= 12
    assert differs_by(decode_photo(other), SCENE) <= 12
    with Image.open(io.BytesIO(adobe)) as reference:
        assert differs_by(decode_photo(adobe), np.asarray(reference.convert("RGB"))) <= 1


@pytest.mark.parametrize("mode", ["1", "L", "P"])
@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "BMP"])
def test_grey_and_palette_become_three_channels(file_format: str, mode: str) -> None:
    grey = Image.fromarray(SCENE).convert(mode)

    picture = decode_photo(written(grey, file_format))

    assert differs_by(picture, np.asarray(grey.convert("RGB"))) == 0


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_what_is_transparent_shows_white(mode: str) -> None:
    image = Image.new("RGBA", (4, 4), (10, 10, 10, 255))
    image.putpixel((0, 0), (10, 10, 10, 0))
    if mode == "P":
        image = Image.new("P", (4, 4), 1)
        image.putpalette([9, 9, 9, 10, 10, 10])
        image.putpixel((0, 0), 0)
        content = written(image, "PNG", transparency=0)
    else:
        content = written(image.convert(mode), "PNG")

    picture = decode_photo(content)

    assert picture[0, 0].tolist() == [255, 255, 255]
    assert picture[3, 3].tolist() == [10, 10, 10]


def test_half_transparent_is_half_white() -> None:
    picture = decode_photo(written(Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "WEBP", lossless=True))

    assert picture[0, 0].tolist() == [127, 127, 127]


RAMP = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(4, 64)


@pytest.mark.parametrize(
    "encode", [imagecodecs.png_encode, lambda ramp: written(Image.fromarray(ramp), "TIFF")]
)
def test_sixteen_bit_grey_keeps_its_whole_range(encode: Callable[[NDArray[np.uint16]], bytes]) -> None:
    assert decode_photo(bytes(encode(RAMP)))[..., 0].ravel().tolist() == list(range(256))


def test_sixteen_bit_colour_keeps_its_whole_range() -> None:
    content = bytes(imagecodecs.png_encode(np.stack([RAMP, RAMP[::-1], RAMP], axis=-1)))

    picture = decode_photo(content)

    assert np.abs(picture[..., 0].ravel().astype(int) - np.arange(256)).max() <= 1


def test_sixteen_bit_grey_that_runs_from_white_is_turned_round() -> None:
    content = written(Image.fromarray(RAMP), "TIFF", tiffinfo={262: 0})

    assert decode_photo(content)[0, 0, 0] == 255


def test_floating_point_from_0_to_1_is_black_to_white() -> None:
    content = written(Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)), "TIFF")

    assert decode_photo(content)[0, :, 0].tolist() == [0, 128, 255]


def test_floating_point_without_a_white_point_is_spread() -> None:
    content = written(Image.fromarray(np.array([[-1000.0, np.nan, 1000.0]], np.float32)), "TIFF")

    assert decode_photo(content)[0, :, 0].tolist() == [0, 128, 255]


def test_twelve_bit_and_lossless_jpeg_are_read() -> None:
    twelve = imagecodecs.jpeg_encode(np.full((16, 16, 3), 2048, np.uint16), level=95, bitspersample=12)
    lossless = imagecodecs.ljpeg_encode(SCENE[..., 0].copy())

    assert np.abs(decode_photo(bytes(twelve)).astype(int) - 128).max() <= 1
    assert differs_by(decode_photo(bytes(lossless))[..., 0], SCENE[..., 0]) == 0


# Pages, animation, studies -----------------------------------------------------------------------------


def test_each_page_of_a_tiff_is_a_frame(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (8, 6), (level, 0, 0)) for level in (10, 20, 30)]
    path = tmp_path / "pages.tiff"
    pages[0].save(path, save_all=True, append_images=pages[1:], compression="tiff_lzw")

    study = read_photo(path)

    assert [frame.displayed()[0, 0, 0] for frame in study.frames] == [10, 20, 30]
    assert [frame.number for frame in study.frames] == [1, 2, 3]
    with pytest.raises(IndexError, match=r"page 3 of .*pages\.tiff, which has 3"):
        decode_photo(path, page=3)


def test_a_preview_is_no_page(tmp_path: Path) -> None:
    path = tmp_path / "with_preview.tiff"
    preview = Image.new("L", (4, 4), 1)
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    Image.new("L", (8, 8), 99).save(path, save_all=True, append_images=[preview])

    assert len(list(read_photo(path).frames)) == 1


def test_a_cameras_raw_file_is_refused_rather_than_its_preview_shown() -> None:
    content = written(Image.new("RGB", (16, 16)), "TIFF", tiffinfo={254: 1})

    with pytest.raises(ImageError, match="export it as JPEG") as refused:
        decode_photo(content)
    assert refused.value.reason is Reason.UNSUPPORTED_ENCODING


@pytest.mark.parametrize("file_format", ["PNG", "WEBP"])
def test_of_an_animation_the_first_picture_is_shown(tmp_path: Path, file_format: str) -> None:
    path = tmp_path / "moving"
    pictures = [Image.new("RGB", (8, 8), (level, level, level)) for level in (40, 200)]
    options = {"lossless": True} if file_format == "WEBP" else {}
    pictures[0].save(path, file_format, save_all=True, append_images=pictures[1:], duration=100, **options)

    assert len(list(read_photo(path).frames)) == 1
    assert decode_photo(path)[0, 0].tolist() == [40, 40, 40]


def test_the_same_bytes_give_the_same_study_under_any_name(tmp_path: Path) -> None:
    content = written(Image.fromarray(SCENE), "PNG")
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(content)
    context = PatientContext(age_years=61)

    first, second = (read_photo(tmp_path / name, context=context) for name in ("a.png", "b.jpg"))

    assert first.uid == second.uid
    assert first.uid.startswith("2.25.")
    assert len(first.uid) <= 64
    uids = {first.uid, first.series[0].uid, first.series[0].frames[0].instance.sop_instance_uid}
    assert len(uids) == 3
    assert first.series[0].modality is Modality.PHOTOGRAPH
    assert first.context.age_years == 61


def test_a_photograph_has_no_quantities(tmp_path: Path) -> None:
    reader = PhotoReader(tmp_path / "a.jpg")

    assert copy.copy(reader) == reader
    with pytest.raises(ValueError, match="has no quantities"):
        reader.quantities(0)


# Scaled decode -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_reduced_decode_keeps_the_shorter_side(orientation: int) -> None:
    picture = np.zeros((1200, 1600, 3), np.uint8)
    content = written(Image.fromarray(picture), "JPEG", exif=exif_of(orientation))

    for least in (100, 150, 151, 299, 600, 1200, 5000):
        shorter = min(decode_photo(content, at_least_px=least).shape[:2])
        assert min(least, 1200) <= shorter <= min(least, 1200) + 151


def test_a_reduced_decode_is_the_same_picture_as_a_whole_one_reduced() -> None:
    chance = np.random.default_rng(0)
    coarse = Image.fromarray(chance.integers(0, 255, (12, 16, 3), dtype=np.uint8))
    content = written(coarse.resize((1600, 1200), Image.Resampling.BICUBIC), "JPEG", quality=92)

    def reduced(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return np.asarray(Image.fromarray(picture).resize((112, 84), Image.Resampling.BILINEAR))

    whole = reduced(decode_photo(content)).astype(int)
    assert np.abs(reduced(decode_photo(content, at_least_px=168)) - whole).mean() <= 0.3


@pytest.mark.datasets
def test_smartphone_photographs_are_read_as_pillow_reads_them(datasets: Path) -> None:
    for path in sorted((datasets / "pad_ufes_20_sample" / "images").iterdir())[:20]:
        assert differs_by(decode_photo(path), np.asarray(upright_by_pillow(path))) <= 1
