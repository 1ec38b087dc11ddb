"""How often each fault is told of pictures that were spoilt on purpose, and of those that were not.

``python -m tests.benchmarks.quality_rates [N]`` spoils N dermoscopic pictures, N photographs by telephone,
three times as many chest radiographs and two stacks, and prints the tables of ``docs/quality-report.md``.
"""

import os
import sys
from collections import Counter
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from time import perf_counter

import numpy as np
from PIL import Image

from data.dicom.grouping import read_studies
from data.photo import decode_photo
from data.quality.finding import Fault
from data.quality.photograph import COPY_PX, look_at_photograph, small_copy
from data.quality.radiology import judge_places, judge_radiograph, judge_text
from data.study import Series
from tests.data.quality.damage import DAMAGES, Picture


def _spread(paths: list[Path], n: int) -> list[Path]:
    return paths[:: max(1, len(paths) // n)][:n]


def photographs(datasets: Path, n: int) -> dict[str, list[Picture]]:
    """Give small copies of good pictures of each set."""
    folders = {
        "dermoscopy": datasets / "ham10000_256" / "HAM10000_images_part_2",
        "telephone": datasets / "pad_ufes_20_sample" / "images",
    }
    return {
        # Not the first of each stretch: limits of hair and of a lesion at the edge were chosen on those.
        name: [small_copy(decode_photo(path)) for path in _spread(sorted(folder.glob("*.jpg"))[1:], n)]
        for name, folder in folders.items()
    }


def faults_of(picture: Picture) -> set[Fault]:
    """Give what is told of a photograph."""
    return {one.fault for one in look_at_photograph(picture, shorter_side_px=min(picture.shape[:2]))}


def report_photographs(datasets: Path, n: int) -> None:
    """Print hit and false-alarm rates of photographs."""
    sets = photographs(datasets, n)
    random = np.random.default_rng(7)
    told = {name: [faults_of(picture) for picture in pictures] for name, pictures in sets.items()}
    print(f"| damage | fault | {' | '.join(f'found, {name}' for name in sets)} |")
    print("| --- | --- " + "| --- " * len(sets) + "|")
    for damage, (fault, spoil) in DAMAGES.items():
        rates = [
            _rate([fault in faults_of(spoil(picture, random)) for picture in pictures])
            for pictures in sets.values()
        ]
        print(f"| {damage} | `{fault}` | {' | '.join(rates)} |")
    print(f"\n| told of good pictures | {' | '.join(sets)} |\n| --- " + "| --- " * len(sets) + "|")
    for fault in dict.fromkeys(fault for fault, _ in DAMAGES.values()):
        rates = [_rate([fault in seen for seen in told[name]]) for name in sets]
        print(f"| `{fault}` | {' | '.join(rates)} |")
    print(f"| any | {' | '.join(_rate([bool(seen) for seen in told[name]]) for name in sets)} |")


def report_radiographs(datasets: Path, n: int) -> None:
    """Print the rates of radiographs."""
    paths = _spread(sorted((datasets / "kermany_chest_xray_224" / "train").rglob("*.jp*g")), n)
    good = [np.asarray(Image.open(path).convert("L")) for path in paths]
    spoilt = {
        "black and white exchanged": (Fault.GREY_INVERTED, [255 - one for one in good]),
        "2.6 times the contrast": (
            Fault.GREY_CLIPPED,
            [np.clip((one.astype(np.float64) - 90) * 2.6, 0, 255).astype(np.uint8) for one in good],
        ),
    }
    alarms = Counter(finding.fault for one in good for finding in judge_radiograph(one))
    print("\n| damage to a chest radiograph | fault | found | told of good ones |\n| --- | --- | --- | --- |")
    for damage, (fault, pictures) in spoilt.items():
        hits = [fault in {finding.fault for finding in judge_radiograph(one)} for one in pictures]
        print(f"| {damage} | `{fault}` | {_rate(hits)} | {alarms[fault]}/{len(good)} |")
    texts = sum(bool(list(judge_text(one))) for one in good)
    print(f"| (text: see deidentification.md) | `{Fault.TEXT_IN_PICTURE}` | | {texts}/{len(good)} |")


def report_stacks(datasets: Path) -> None:
    """Print how often slices that were taken out of a stack are missed."""
    print("\n| stack | slices | told of the whole one | one slice taken out | three in a row |")
    print("| --- | --- | --- | --- | --- |")
    for name, folder in (("chest CT (LIDC)", "lidc_ct_256"), ("PET (QIN)", "qin_headneck_pet")):
        studies, _ = read_studies((datasets / folder).rglob("*.dcm"))
        series = max((one for study in studies for one in study.series), key=lambda one: len(one.frames))
        n_frames = len(series.frames)
        rates = [
            _rate([_is_told(_without(series, at, n)) for at in range(2, n_frames - 2 - n)]) for n in (1, 3)
        ]
        print(f"| {name} | {n_frames} | {_is_told(series)} | {rates[0]} | {rates[1]} |")


def _without(series: Series, at: int, n: int) -> Series:
    return replace(series, frames=series.frames[:at] + series.frames[at + n :])


def _is_told(series: Series) -> bool:
    return bool(list(judge_places(series)))


def report_time(datasets: Path) -> None:
    """Print how long the answer to a photograph of 12 megapixels takes."""
    (path, *_) = sorted((datasets / "pad_ufes_20_sample" / "images").glob("*.jpg"))
    written = BytesIO()
    Image.open(path).convert("RGB").resize((4032, 3024)).save(written, "JPEG", quality=90)
    seconds: list[float] = []
    for _ in range(9):
        started = perf_counter()
        look_at_photograph(decode_photo(written.getvalue(), at_least_px=COPY_PX), shorter_side_px=3024)
        seconds.append(perf_counter() - started)
    print(f"\n12 megapixels, decoded to a copy of {COPY_PX} px and judged: median {np.median(seconds):.3f} s")


def _rate(seen: list[bool]) -> str:
    return f"{sum(seen)}/{len(seen)} ({np.mean(seen):.2f})"


def main(n: int) -> None:
    """Print the tables."""
    datasets = Path(os.environ.get("FIRSTREAD_DATASETS", "../shared/datasets"))
    report_photographs(datasets, n)
    report_radiographs(datasets, 3 * n)
    report_stacks(datasets)
    report_time(datasets)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 72)
