"""The whole corpus: no crash, every file accounted for, stored values as pydicom reads them."""

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest

from data.dicom.files import quiet
from data.dicom.reading import DicomReader
from data.errors import ImageError, Reason

LOSSY = ("JPEG Baseline", "JPEG Extended", "Near-Lossless", "JPEG 2000 Image Compression", "High-Throughput")
# The stream says signed, the header unsigned; as unsigned numbers its air would be brighter than bone.
SIGNED_AGAINST_ITS_HEADER = "TOSHIBA_J2K_SIZ1_PixRep0"


def rows_of(corpus: Path) -> list[dict[str, str]]:
    with (corpus / "manifest.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.datasets
def test_every_file_gives_pictures_or_a_coded_reason(datasets: Path) -> None:
    corpus = datasets / "dicom_corpus"
    decoded: dict[str, list[str]] = {"y": [], "n": [], "na": []}
    reasons: dict[str, Reason] = {}
    for row in rows_of(corpus):
        reader = DicomReader(corpus / row["file"])
        try:
            for index in range(reader.picture().n_frames):
                picture = reader.displayed(index)
                assert picture.dtype == np.uint8
                assert picture.ndim == 2 or picture.shape[2] == 3
        except ImageError as error:
            reasons[row["file"]] = error.reason
        else:
            decoded[row["decodes"]].append(row["file"])

    expected = [row["file"] for row in rows_of(corpus) if row["decodes"] == "y"]
    assert decoded["y"] == expected
    assert len(decoded["n"]) >= 12
    assert len(decoded["y"]) + len(decoded["n"]) + len(decoded["na"]) + len(reasons) == 289
    assert set(reasons.values()) == {Reason.NO_PIXELS, Reason.CORRUPT, Reason.TRUNCATED, Reason.NOT_DICOM}


@pytest.mark.datasets
def test_stored_values_are_those_that_pydicom_reads(datasets: Path) -> None:
    corpus = datasets / "dicom_corpus"
    n_compared = 0
    for row in rows_of(corpus):
        is_jpeg_lossless = row["ts_name"].startswith("JPEG Lossless")
        is_colour_transformed = row["pi"].startswith("YBR")
        if row["decodes"] != "y" or is_jpeg_lossless or is_colour_transformed:
            continue
        if SIGNED_AGAINST_ITS_HEADER in row["file"]:
            continue
        path = corpus / row["file"]
        try:
            with quiet():
                expected = pydicom.dcmread(path, force=True).pixel_array
        except RuntimeError:
            # Its decoder is not installed: an extra of pydicom's that this project does without.
            continue
        reader = DicomReader(path)
        frames = expected if reader.picture().n_frames > 1 else expected[None]
        tolerance = 1 if row["ts_name"].startswith(LOSSY) else 0
        for index, frame in enumerate(frames):
            stored = reader.stored(index)
            assert stored.shape == frame.shape, row["file"]
            difference = np.abs(stored.astype(np.float64) - frame.astype(np.float64))
            assert np.nanmax(difference) <= tolerance, row["file"]
        n_compared += 1
    assert n_compared >= 170


@pytest.mark.datasets
@pytest.mark.parametrize("name", ["CT2", "MR3", "MR4", "NM1", "XA1"])
def test_one_picture_is_the_same_through_every_lossless_codec(datasets: Path, name: str) -> None:
    paths = [
        path
        for kind in ("JPLL", "JLSL", "J2KR", "RLE")
        for path in (datasets / "dicom_corpus").rglob(f"*_{name}_{kind}.dcm")
    ]
    pictures = [DicomReader(path).stored(0) for path in paths]
    assert len(pictures) >= 2
    assert all(np.array_equal(pictures[0], picture) for picture in pictures)
