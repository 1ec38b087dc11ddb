"""The header of an uncompressed CT, read: ours and every other reader that is installed, beside pydicom's.

What is known of the readers that could do it faster, tried on the corpus of 290 files: `python-gdcm` 3.2
takes half of pydicom's time, not a third. `fastdicom` 0.1.0, the one release there is, takes a tenth; but it
refuses 10 files that pydicom reads, and gives names in ISO 2022 (Japanese, Korean) as raw escape sequences.
Neither is taken: names must be right, and the time counts for little, as an image's bytes are hashed, copied
and flushed at ten times the cost.
"""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom

from data.dicom.files import open_object
from data.dicom.header import text_of
from data.dicom.writing import ObjectInfo, write_ct_series
from tests.benchmarks.measuring import Figure, in_turn

N_SLICES = 40
TARGET = 3.0
READ = (
    "PatientID",
    "PatientName",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "SOPInstanceUID",
    "Modality",
    "Rows",
    "Columns",
    "ImagePositionPatient",
    "InstanceNumber",
)


def measure() -> list[Figure]:
    """Read the headers of a series, and ten values of each."""
    with tempfile.TemporaryDirectory() as folder:
        slices = np.random.default_rng(1).integers(-1000, 1000, (N_SLICES, 512, 512)).astype(np.int16)
        info = ObjectInfo("headers", "BENCHMARK", patient_id="P1", patient_name="Wang^Xiaodong=王^小东")
        paths = write_ct_series(Path(folder), slices, info=info, spacing_mm=(0.5, 0.5), thickness_mm=1.0)
        readers = {"ours, with its checks": _ours} | _others()
        return [_compare(name, reader, paths) for name, reader in readers.items()]


def _compare(name: str, reader: Callable[[Path], None], paths: Sequence[Path]) -> Figure:
    pair = in_turn(lambda: list(map(reader, paths)), lambda: list(map(_pydicoms, paths)))
    return Figure(
        f"header of an uncompressed CT and ten of its values: {name}",
        f"{pair.speed_up:.2f} x ({1000 * pair.ours_median_s / len(paths):.2f} ms)",
        f"dcmread(stop_before_pixels=True), {1000 * pair.peer_median_s / len(paths):.2f} ms",
        f">= {TARGET:g} x",
        pair.speed_up >= TARGET,
    )


def _pydicoms(path: Path) -> None:
    dataset = pydicom.dcmread(path, stop_before_pixels=True)
    for keyword in READ:
        dataset.get(keyword)


def _ours(path: Path) -> None:
    with open_object(path) as opened:
        for keyword in READ:
            text_of(opened.dataset, keyword)


def _others() -> dict[str, Callable[[Path], None]]:
    readers: dict[str, Callable[[Path], None]] = {}
    try:
        import fastdicom
    except ImportError:
        pass
    else:

        def fast(path: Path) -> None:
            dataset = fastdicom.dcmread(str(path), stop_before_pixels=True)
            for keyword in READ:
                dataset.get(keyword, None)

        readers["fastdicom"] = fast
    return readers
