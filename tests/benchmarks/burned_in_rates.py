"""How often text in the pixels is found, and how often it is seen where there is none, on real pictures.

``python -m tests.benchmarks.burned_in_rates [N]`` draws names, numbers and dates into N pictures of each data
set and prints the tables of ``docs/deidentification.md``.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from time import perf_counter

import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from data.dicom.burned_in import find_text
from data.dicom.reading import DicomReader
from data.pieces import Box

Picture = NDArray[np.uint8]

WORDS = (
    "ZHANG WEI 19730412",
    "Li Na  F 34Y",
    "ID: 00471162",
    "2024-03-01 10:15:33",
    "Wang^Xiaodong",
    "SN 8834-22 kV 120",
    "ACC 20240301-17",
)
HEIGHTS_PX = (10, 12, 14, 18, 24, 32, 48)
PLACES = ("top left", "top right", "bottom left", "bottom right", "left edge", "middle")
INKS = ("white", "black", "grey", "outlined", "boxed")


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture with a text, and where it stands."""

    picture: Picture
    box: Box


def pictures(datasets: Path, n: int) -> Iterator[tuple[str, Picture]]:
    """Give pictures of each set, spread evenly over it."""
    jpegs = {
        "radiograph 224 px": (datasets / "kermany_chest_xray_224" / "test").rglob("*.jp*g"),
        "head CT 256 px": (datasets / "ct_ich_256" / "brain").glob("*.jpg"),
        "dermoscopy 256 px": (datasets / "ham10000_256" / "HAM10000_images_part_1").glob("*.jpg"),
        "photograph by telephone": (datasets / "pad_ufes_20_sample" / "images").iterdir(),
    }
    for name, found in jpegs.items():
        for path in _spread(sorted(found), n):
            yield name, np.asarray(Image.open(path).convert("RGB" if name[0] in "dp" else "L"))
    for path in _spread(sorted((datasets / "kermany_chest_xray_224" / "train").rglob("*.jp*g")), n // 2):
        large = Image.open(path).convert("L").resize((1760, 1760), Image.Resampling.BICUBIC)
        yield "radiograph, enlarged to 1760 px", np.asarray(large)
    for path in _spread(sorted((datasets / "lidc_ct_256").rglob("*.dcm")), n):
        yield "chest CT 256 px", DicomReader(path).displayed(0)
    for path in _spread(sorted((datasets / "qin_headneck_pet").rglob("*.dcm")), n // 2):
        reader = DicomReader(path)
        if reader.picture().n_frames == 1:
            yield "PET", reader.displayed(0)


def _spread(paths: list[Path], n: int) -> list[Path]:
    return paths[:: max(1, len(paths) // n)][:n]


def drawn(picture: Picture, random: np.random.Generator, height_px: int, place: str, ink: str) -> Drawn:
    """Draw a text as a device does, then compress the picture as JPEG."""
    face = ["DejaVu Sans", "DejaVu Sans Mono", "DejaVu Serif"][random.integers(3)]
    font = ImageFont.truetype(font_manager.findfont(face), height_px)
    words = WORDS[random.integers(len(WORDS))]
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    left, top, right, bottom = pen.textbbox((0, 0), words, font=font)
    while right - left > image.width - 12:
        words = words[:-2]
        left, top, right, bottom = pen.textbbox((0, 0), words, font=font)
    width, height = int(right - left), int(bottom - top)
    room_x, room_y = max(0, image.width - width), max(0, image.height - height)
    gap = int(random.integers(2, 7))
    x = {"left": gap, "middle": room_x // 2}.get(place.rpartition(" ")[2], room_x - gap)
    y = {"top": gap, "bottom": room_y - gap}.get(place.partition(" ")[0], room_y // 2)
    if place == "left edge":
        x = gap
    at = max(0, x) - left, max(0, y) - top
    tone = {"white": 255, "black": 0, "grey": 170, "outlined": 255, "boxed": 255}[ink]
    fill = tone if image.mode == "L" else (tone,) * 3
    dark = 0 if image.mode == "L" else (0, 0, 0)
    if ink == "boxed":
        pen.rectangle((x - 3, y - 3, x + width + 3, y + height + 3), fill=dark)
    pen.text(at, words, fill=fill, font=font, stroke_width=int(ink == "outlined"), stroke_fill=dark)
    written = BytesIO()
    image.save(written, "JPEG", quality=85)
    box = Box(max(0, y), max(0, x), min(image.height, y + height), min(image.width, x + width))
    return Drawn(np.asarray(Image.open(written)), box)


def is_hit(found: tuple[Box, ...], sought: Box) -> bool:
    """Whether a box touches the text."""
    return any(_overlap(box, sought) > 0 for box in found)


def covered(found: tuple[Box, ...], sought: Box) -> float:
    """Give the part of the text that is covered."""
    area = (sought.bottom - sought.top) * (sought.right - sought.left)
    return sum(_overlap(box, sought) for box in found) / area


def _overlap(one: Box, other: Box) -> int:
    rows = min(one.bottom, other.bottom) - max(one.top, other.top)
    columns = min(one.right, other.right) - max(one.left, other.left)
    return max(0, rows) * max(0, columns)


def main(n: int) -> None:
    """Print the tables."""
    datasets = Path(os.environ.get("FIRSTREAD_DATASETS", "../shared/datasets"))
    random = np.random.default_rng(7)
    hits: dict[tuple[str, str], list[bool]] = {}
    parts: list[float] = []
    alarms: dict[str, list[bool]] = {}
    seconds: dict[str, list[float]] = {}
    for name, picture in pictures(datasets, n):
        started = perf_counter()
        alarms.setdefault(name, []).append(bool(find_text(picture)))
        seconds.setdefault(name, []).append(perf_counter() - started)
        for height_px in HEIGHTS_PX:
            if height_px * 12 > picture.shape[0]:  # no device fills a tenth of its picture with a line
                continue
            place, ink = PLACES[random.integers(len(PLACES))], INKS[random.integers(len(INKS))]
            trial = drawn(picture, random, height_px, place, ink)
            found = find_text(trial.picture)
            is_found = is_hit(found, trial.box)
            if is_found:
                parts.append(covered(found, trial.box))
            for group in (("set", name), ("height", f"{height_px} px"), ("place", place), ("ink", ink)):
                hits.setdefault(group, []).append(is_found)
    print(f"{'':34}{'seen with text':>18}{'seen without':>16}{'ms':>8}")
    for name, seen in alarms.items():
        told = _rate(hits["set", name])
        print(f"{name:34}{told:>18}{_rate(seen):>16}{1000 * float(np.median(seconds[name])):8.1f}")
    for (kind, value), seen in hits.items():
        if kind != "set":
            print(f"{f'{kind}: {value}':34}{_rate(seen):>18}")
    with_text = [one for (kind, _), seen in hits.items() if kind == "set" for one in seen]
    without = [one for seen in alarms.values() for one in seen]
    print(f"{'all':34}{_rate(with_text):>18}{_rate(without):>16}")
    whole = np.mean(np.array(parts) > 0.99)
    print(f"of a text that was seen, {np.mean(parts):.3f} is covered, all of it in {whole:.3f}")


def _rate(seen: list[bool]) -> str:
    return f"{sum(seen)}/{len(seen)} {np.mean(seen):.2f}"


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
