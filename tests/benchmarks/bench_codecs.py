"""One frame of a JPEG-lossless CT and of an HTJ2K file: ours against pydicom's own decoding.

pydicom decodes JPEG lossless only with `pylibjpeg-libjpeg`, which is GPL and so not among our dependencies;
that row appears where somebody has installed it.
"""

import csv
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from data.dicom.reading import DicomReader
from tests.benchmarks.material import BenchmarkSkippedError, datasets
from tests.benchmarks.measuring import Figure, in_turn

# Transfer syntax: its name, and how many times as fast ours should be.
SYNTAXES = {
    "1.2.840.10008.1.2.4.70": ("JPEG lossless", 3.5),
    "1.2.840.10008.1.2.4.201": ("HTJ2K lossless", 2.0),
}


def measure() -> list[Figure]:
    """Time the largest single-frame file of each syntax, without the file's opening on either side."""
    corpus = datasets() / "dicom_corpus"
    figures = []
    for syntax, (name, target) in SYNTAXES.items():
        path = _largest_grey(corpus, syntax)
        if path is not None and (figure := _compare(path, name, target)) is not None:
            figures.append(figure)
    if not figures:
        raise BenchmarkSkippedError("pydicom decodes neither syntax here")
    return figures


def _compare(path: Path, name: str, target: float) -> Figure | None:
    dataset = pydicom.dcmread(path)
    reader = DicomReader(path)

    def pydicoms() -> NDArray[np.generic]:
        dataset._pixel_id = {}
        return dataset.pixel_array

    try:
        rows, columns = pydicoms().shape[:2]
    except RuntimeError:  # no plug-in for it
        return None
    pair = in_turn(lambda: reader.stored(0), pydicoms)
    return Figure(
        f"{name}, {rows} x {columns}",
        f"{pair.speed_up:.1f} x ({1000 * pair.ours_median_s:.1f} ms)",
        f"pydicom's default, {1000 * pair.peer_median_s:.1f} ms",
        f">= {target:g} x",
        pair.speed_up >= target,
    )


def _largest_grey(corpus: Path, syntax: str) -> Path | None:
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["ts"] == syntax and row["has_pixels"] == "1"]
    sizes = {row["file"]: int(row["rows"] or 0) * int(row["cols"] or 0) for row in rows}
    return corpus / max(sizes, key=lambda name: sizes[name]) if sizes else None
