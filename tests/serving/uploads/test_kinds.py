"""Whatever a site has: each kind of file comes by a resumable upload, and is kept byte for byte."""

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.fileset import FileSet

from data.dicom.writing import ObjectInfo, write_ct_series
from tests.serving.service_in_process import Service, in_process, zipped
from tests.serving.uploads.tus import Tus, noisy_photograph


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    pixels = np.zeros((3, 16, 16), np.int16) + np.arange(3, dtype=np.int16)[:, None, None]
    info = ObjectInfo(seed="kinds", label="MADE FOR A TEST", age_years=61)
    folder = tmp_path_factory.mktemp("ct")
    return write_ct_series(folder, pixels, info=info, spacing_mm=(1.0, 1.0), thickness_mm=5.0)


def _picture(coding: str) -> bytes:
    noise = np.random.default_rng(len(coding)).integers(0, 255, (96, 96, 3), np.uint8)
    buffer = io.BytesIO()
    if coding == "HEIC":
        pillow_heif.from_pillow(Image.fromarray(noise)).save(buffer)
    else:
        Image.fromarray(noise).save(buffer, coding)
    return buffer.getvalue()


def _sha256s(service: Service, answer: dict[str, list[dict[str, str]]]) -> list[str]:
    details = [service.client.get(study["url"]).json() for study in answer["studies"]]
    return sorted(image["sha256"] for detail in details for image in detail["images"])


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("coding", ["JPEG", "PNG", "WEBP", "TIFF", "HEIC"])
def test_photographs_of_every_kind(service: Service, coding: str) -> None:
    content = _picture(coding)
    address = Tus(service.client).send(content, filename=f"IMG_0001.{coding}")
    answer = service.client.get(address).json()["answer"]
    assert _sha256s(service, answer) == [_sha256(content)]


def test_a_folder_of_dicom_files_is_one_study(service: Service, slices: tuple[Path, ...]) -> None:
    tus = Tus(service.client)
    for path in slices:
        tus.send(path.read_bytes(), relativePath=f"CT/series 1/{path.name}", batch="folder")
    done = tus.complete("folder", files=3).json()
    (study,) = done["studies"]
    assert study["files"] == [f"CT/series 1/{path.name}" for path in slices]
    assert _sha256s(service, done) == sorted(_sha256(path.read_bytes()) for path in slices)


def test_an_archive_of_both_kinds(service: Service) -> None:
    left, right = noisy_photograph(3, seed=8), noisy_photograph(4, seed=9)
    address = Tus(service.client).send(zipped(**{"a/left.jpg": left, "a/right.jpg": right}), filename="a.zip")
    answer = service.client.get(address).json()["answer"]
    assert [study["files"] for study in answer["studies"]] == [["a.zip/a/left.jpg"], ["a.zip/a/right.jpg"]]
    assert _sha256s(service, answer) == sorted([_sha256(left), _sha256(right)])


@pytest.mark.parametrize("packed", [False, True])
def test_a_disc_says_which_of_its_files_did_not_come(
    service: Service, slices: tuple[Path, ...], tmp_path: Path, packed: bool
) -> None:
    files = FileSet()
    for path in slices:
        image = dcmread(path)
        image.PatientID, image.StudyID = "0017", "1"
        image.StudyInstanceUID += f".{int(packed)}"
        image.SOPInstanceUID += f".{int(packed)}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        files.add(image)
    files.write(tmp_path / "disc")
    files._stage["t"].cleanup()  # or it warns when it goes
    paths = sorted(path for path in (tmp_path / "disc").rglob("*") if path.is_file())
    lost = next(path for path in paths if path.name != "DICOMDIR")
    sent = {
        f"disc/{path.relative_to(tmp_path / 'disc').as_posix()}": path.read_bytes()
        for path in paths
        if path != lost
    }
    tus = Tus(service.client)
    batch = f"disc-{packed}"
    if packed:
        tus.send(zipped(**sent), filename="disc.zip", batch=batch)
    else:
        for name, content in sent.items():
            tus.send(content, relativePath=name, batch=batch)
    done = tus.complete(batch).json()
    (study,) = done["studies"]
    assert study["images"] == 2
    (missing,) = done["rejected"]
    assert missing["reason"] == "missing-file"
    assert missing["file"].endswith(f"disc/{lost.relative_to(tmp_path / 'disc').as_posix()}")
    stored = _sha256s(service, done)
    assert _sha256(sent["disc/DICOMDIR"]) not in stored
