import json
import os
import signal
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from data.dicom.writing import ObjectInfo, write_ct_series, write_radiograph
from data.study import Modality
from serving.cli import app
from tests.tiny_model import write_tiny_artifact

CONTRACT: dict[str, Any] = {
    "study": str,
    "paths": list,
    "status": str,
    "reason": (str, type(None)),
    "model": (dict, type(None)),
    "probabilities": dict,
    "findings": list,
    "allowance_minutes": float,
    "key_images": list,
    "novelty": (float, type(None)),
    "quality": (float, type(None)),
    "context": (dict, type(None)),
    "elapsed_ms": float,
}

INFO = ObjectInfo(seed="command", label="MADE FOR A TEST")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, with_novelty=True)
    return folder


@pytest.fixture(scope="module")
def all_modalities(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, modalities=list(Modality), min_side_px=1)
    return folder


def photograph(path: Path, colour: tuple[int, int, int] = (250, 30, 30)) -> Path:
    Image.new("RGB", (40, 40), colour).save(path, "JPEG", quality=95)
    return path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["score", *map(str, arguments)])


def objects(*arguments: str | Path) -> list[dict[str, Any]]:
    result = run("--format", "json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def huge_png(path: Path, side: int = 40_000) -> Path:
    """Write a PNG of one colour whose header is honest: 1.6 billion pixels in 200 KB."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">L", len(content)) + kind + content + struct.pack(">L", zlib.crc32(kind + content))
        )

    header = struct.pack(">LLBBBBB", side, side, 1, 0, 0, 0, 0)
    row = zlib.compressobj(9)
    packed = b"".join(row.compress(bytes(1 + side // 8)) for _ in range(side)) + row.flush()
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )
    return path


def spoilt_dicom(path: Path, *, frames: int | None = None) -> Path:
    write_radiograph(path, np.zeros((16, 16), np.uint8), info=INFO)
    dataset = pydicom.dcmread(path)
    if frames is None:
        del dataset.PixelData
    else:
        dataset.NumberOfFrames = frames
    dataset.StudyInstanceUID = f"1.2.3.{frames or 0}"
    dataset.SOPInstanceUID = f"1.2.4.{frames or 0}"
    dataset.save_as(path)
    return path


def test_each_study_is_one_object_with_the_fields_that_are_promised(tmp_path: Path, models: Path) -> None:
    photograph(tmp_path / "a.jpg")
    photograph(tmp_path / "b.jpg", (20, 20, 20))

    found = objects("--models", models, tmp_path)

    assert [Path(one["paths"][0]).name for one in found] == ["a.jpg", "b.jpg"]
    for one in found:
        assert list(one) == list(CONTRACT)
        assert all(isinstance(one[key], kind) for key, kind in CONTRACT.items()), one
        assert one["status"] == "scored"
        assert one["reason"] is None
        assert one["model"].keys() == {"name", "version", "sha256"}
        assert sum(one["probabilities"].values()) == pytest.approx(1.0)
        assert [finding.keys() for finding in one["findings"]] == [{"class", "p", "flagged"}]
        assert [image.keys() for image in one["key_images"]] == [
            {"path", "sop_instance_uid", "frame", "score"}
        ]
    assert [one["findings"][0]["flagged"] for one in found] == [True, False]
    assert found[0]["allowance_minutes"] < found[1]["allowance_minutes"]


def test_every_bad_input_gets_its_code_and_the_good_ones_are_scored(tmp_path: Path, models: Path) -> None:
    good = photograph(tmp_path / "good.jpg")
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.dcm").write_text("no DICOM, only text\n" * 20)
    (tmp_path / "truncated.jpg").write_bytes(good.read_bytes()[:450])
    huge_png(tmp_path / "huge.png")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as bundle:
        bundle.writestr("zeros", bytes(80 << 20))
        bundle.write(good, "good.jpg")
    with zipfile.ZipFile(tmp_path / "escape.zip", "w") as bundle:
        bundle.write(good, "../../good.jpg")
    with zipfile.ZipFile(tmp_path / "good.zip", "w") as bundle:
        bundle.write(good, "inside.jpg")
    spoilt_dicom(tmp_path / "no-pixels.dcm")
    spoilt_dicom(tmp_path / "frames.dcm", frames=10**9)
    write_radiograph(tmp_path / "radiograph.dcm", np.zeros((40, 40), np.uint8), info=INFO)

    found = objects("--models", models, tmp_path)

    status_of = {Path(path).name: one for one in found for path in one["paths"]}
    assert len(status_of) == sum(len(one["paths"]) for one in found) == 11
    assert {name: one["reason"].partition(":")[0] for name, one in status_of.items() if one["reason"]} == {
        "empty.jpg": "empty-file",
        "text.dcm": "not-an-image",
        "truncated.jpg": "truncated",
        "huge.png": "too-many-pixels",
        "bomb.zip": "archive-bomb",
        "escape.zip": "archive-unsafe-path",
        "no-pixels.dcm": "no-pixels",
        "frames.dcm": status_of["frames.dcm"]["reason"].partition(":")[0],
        "radiograph.dcm": "no-model",
    }
    assert status_of["frames.dcm"]["reason"].partition(":")[0] in {"too-many-frames", "truncated"}
    assert [one["status"] for name, one in status_of.items() if name in {"good.jpg", "inside.jpg"}] == [
        "scored",
        "scored",
    ]
    for name, one in status_of.items():
        if one["reason"]:
            assert name in one["reason"]
            assert one["allowance_minutes"] == 240.0
            assert one["status"] == "rejected"


def test_a_picture_of_another_kind_is_abstained_with_the_time_of_an_unscored_study(
    tmp_path: Path, models: Path
) -> None:
    (one,) = objects("--models", models, photograph(tmp_path / "blue.jpg", (10, 10, 250)))

    assert one["status"] == "abstained"
    assert one["reason"].startswith("novel: ")
    assert one["novelty"] > 1
    assert one["allowance_minutes"] == 240.0


def test_a_radiograph_sent_as_a_plain_picture_is_scored_by_the_model_that_is_named_for_it(
    tmp_path: Path,
) -> None:
    write_tiny_artifact(
        tmp_path / "models",
        modalities=[Modality.COMPUTED_RADIOGRAPHY],
        when_named=[Modality.PHOTOGRAPH],
        body_parts=["CHEST"],
    )
    plain = photograph(tmp_path / "radiograph.jpg")

    (unnamed,) = objects("--models", tmp_path / "models", plain)
    (named,) = objects("--models", tmp_path / "models", "--model", "tiny", plain)

    assert unnamed["status"] == "rejected"
    assert "takes CR, and XC where it is named" in unnamed["reason"]
    assert named["status"] == "scored"
    assert named["model"]["taken_as_named_only"] is True


def test_a_damaged_slice_is_told_beside_its_study(tmp_path: Path, all_modalities: Path) -> None:
    slices = np.zeros((3, 16, 16), np.int16)
    paths = write_ct_series(tmp_path / "ct", slices, info=INFO, spacing_mm=(1, 1), thickness_mm=5)
    paths[1].write_bytes(paths[1].read_bytes()[:-200])

    found = objects("--models", all_modalities, tmp_path)

    assert sorted((one["status"], len(one["paths"])) for one in found) == [("rejected", 1), ("scored", 2)]


def test_the_table_names_the_most_urgent_first_and_what_was_rejected(tmp_path: Path, models: Path) -> None:
    photograph(tmp_path / "dark.jpg", (20, 20, 20))
    photograph(tmp_path / "red.jpg")
    (tmp_path / "\x1b[2Jnotes.txt").write_text("no image")

    result = run("--models", models, tmp_path)

    shown = "".join(result.stdout.split())
    assert result.exit_code == 0
    assert shown.index("red.jpg") < shown.index("dark.jpg") < shown.index("notes.txt")
    assert "forprioritisationonly" in shown
    assert "\x1b[2J" not in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["no-such-file.jpg"],
        ["--model", "nothing", "photo.jpg"],
        ["--model", "tiny@9", "photo.jpg"],
        ["--provider", "TensorRT", "photo.jpg"],
        ["--format", "xml", "photo.jpg"],
        ["--jobs", "0", "photo.jpg"],
        ["--age", "200", "photo.jpg"],
    ],
)
def test_wrong_usage_ends_with_status_2(
    tmp_path: Path, models: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    photograph(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)

    result = run("--models", models, *arguments)

    assert result.exit_code == 2
    assert not result.stdout


def test_without_any_model_every_study_is_rejected_and_stderr_says_why(tmp_path: Path) -> None:
    empty = tmp_path / "models"
    empty.mkdir()

    result = run("--format", "json", "--models", empty, photograph(tmp_path / "photo.jpg"))

    assert json.loads(result.stdout)["reason"].startswith("no-model: ")
    assert "there are no models" in result.stderr


def test_processes_give_what_one_process_gives(tmp_path: Path, models: Path) -> None:
    for number in range(6):
        photograph(tmp_path / f"{number}.jpg", (40 * number, 30, 30))

    def told(jobs: str) -> dict[str, object]:
        found = objects("--models", models, "--jobs", jobs, tmp_path)
        return {one["paths"][0]: (one["study"], one["probabilities"]) for one in found}

    assert told("2") == told("1")


def start(*arguments: str | Path, scratch: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", "from serving.cli import main; main()", "score", *map(str, arguments)],
        text=True,
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(scratch)},
    )


def test_a_reader_that_goes_away_ends_the_program_quietly(tmp_path: Path, models: Path) -> None:
    for number in range(50):
        photograph(tmp_path / f"{number}.jpg", (number, 30, 30))
    with start("--models", models, "--format", "json", tmp_path, scratch=tmp_path) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.stdout.close()
        assert "Traceback" not in program.stderr.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_its_workers_and_its_scratch(
    tmp_path: Path, models: Path, number: signal.Signals
) -> None:
    scratch = tmp_path / "scratch"
    images = tmp_path / "images"
    scratch.mkdir()
    images.mkdir()
    for index in range(200):
        photograph(images / f"{index}.jpg", (index, 30, 30))
    arguments = ("--models", models, "--format", "json", "--jobs", "2", images)
    with start(*arguments, scratch=scratch) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.readline()
        program.send_signal(number)
        told = program.stderr.read()  # ends when no worker holds it open any more
        program.wait(30)
        assert program.returncode != 0
        assert "Traceback" not in told
    assert not list(scratch.iterdir())


@pytest.mark.datasets
def test_every_file_of_the_corpus_is_accounted_for(datasets: Path, all_modalities: Path) -> None:
    corpus = datasets / "dicom_corpus"
    files = sorted(
        str(path) for path in corpus.rglob("*") if path.is_file() and not path.name.startswith(".")
    )

    found = objects("--models", all_modalities, "--jobs", "2", corpus)

    assert sorted(path for one in found for path in one["paths"]) == files
    assert all(one["reason"] for one in found if one["status"] != "scored")
    assert sum(len(one["paths"]) for one in found if one["status"] == "scored") >= 150


@pytest.mark.datasets
def test_a_real_ct_is_one_study_with_key_images_apart(datasets: Path, all_modalities: Path) -> None:
    found = objects("--models", all_modalities, datasets / "lidc_ct_256" / "LIDC-IDRI-0001")

    (study,) = [one for one in found if one["status"] == "scored"]
    assert len(study["paths"]) == 133
    assert len({image["sop_instance_uid"] for image in study["key_images"]}) == 3
