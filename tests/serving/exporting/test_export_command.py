"""`firstread export --deidentified`: every file accounted for, nothing overwritten."""

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner, Result

from data.dicom.writing import ObjectInfo, write_radiograph
from serving.cli import app


def radiograph(path: Path, name: str) -> Path:
    pixels = np.random.default_rng(3).integers(90, 110, (64, 80)).astype(np.uint8)
    info = ObjectInfo(seed=name, label="SYNTHETIC PHANTOM", patient_id=name, patient_name="Wang^Xiaodong")
    return write_radiograph(path, pixels, info=info)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text("0123456789abcdef" * 4)
    return path


def test_a_folder_is_exported_and_every_file_accounted_for(tmp_path: Path, key: Path) -> None:
    source, to = tmp_path / "in", tmp_path / "out"
    radiograph(source / "Wang Xiaodong.dcm", "W-1")
    damaged = radiograph(source / "cut.dcm", "W-2")
    damaged.write_bytes(damaged.read_bytes()[:-500])
    (source / "notes.txt").write_text("Wang Xiaodong")

    result = run(source, "--deidentified", "--to", to, "--key-file", key)

    assert result.exit_code == 0, result.output
    (written,) = [path for path in to.rglob("*") if path.is_file()]
    assert b"Wang" not in written.read_bytes()
    assert pydicom.dcmread(written).PatientIdentityRemoved == "YES"
    report = json.loads((tmp_path / "out-report.json").read_text())
    assert (report["n_files"], report["n_written"]) == (3, 1)
    assert report["n_refused"] == {"truncated": 1, "not-an-image": 1}
    assert all("remedy" in entry for entry in report["files"] if "refused" in entry)


def test_a_second_run_finds_its_files_there_and_no_report_is_overwritten(tmp_path: Path, key: Path) -> None:
    path, to = radiograph(tmp_path / "a.dcm", "W-1"), tmp_path / "out"
    asked = (path, "--deidentified", "--to", to, "--key-file", key)
    assert run(*asked).exit_code == 0
    assert run(*asked).exit_code == 2
    assert run(*asked, "--report", tmp_path / "second.json").exit_code == 0
    report = json.loads((tmp_path / "second.json").read_text())
    assert (report["n_written"], report["n_there_already"]) == (0, 1)


def test_without_the_flag_or_a_good_key_nothing_is_written(tmp_path: Path, key: Path) -> None:
    path, to = radiograph(tmp_path / "a.dcm", "W-1"), tmp_path / "out"
    assert run(path, "--to", to, "--key-file", key).exit_code == 2
    key.write_text("short")
    refused = run(path, "--deidentified", "--to", to, "--key-file", key)
    assert refused.exit_code == 1
    assert "openssl" in refused.output
    assert not to.exists()
