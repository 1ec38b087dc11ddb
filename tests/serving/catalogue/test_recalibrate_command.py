import errno
import hashlib
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from data.dicom.writing import ObjectInfo, write_photograph
from models.artifact import Artifact, read_artifact
from models.recalibration import ScoredStudies, pooled_probabilities
from models.registry import Registry
from models.runtime import Session
from models.scaling import Scaling
from serving.catalogue.labelled import find_labelled, read_listed
from serving.cli import app
from serving.scoring.score import identity, run_study, score_study
from tests.tiny_model import tiny_graph, write_tiny_artifact

N_STUDIES = 160


def picture(number: int, grey: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Make a grey picture that no other equals."""
    pixels = np.full((40, 40, 3), grey, np.uint8)
    pixels[0, number % 40] = (number % 256, number // 256, 7)
    return pixels


def draw_rows(n: int = N_STUDIES) -> list[tuple[int, str, str]]:
    """Give grey, label and group of each picture; the labels come true less often than the model says."""
    draws = np.random.default_rng(3)
    rows = []
    for number in range(n):
        grey = int(draws.integers(10, 245))
        evidence = 4.0 * grey / 255.0 - 2.0
        is_malignant = draws.random() < 1.0 / (1.0 + np.exp(-evidence))  # the model says 2 * evidence
        rows.append((grey, "malignant" if is_malignant else "benign", f"P{number // 2}"))
    return rows


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for number, (grey, _, _) in enumerate(draw_rows()):
        Image.fromarray(picture(number, grey)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIRSTREAD_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FIRSTREAD_MODELS", str(tmp_path / "models"))
    return tmp_path / "home"


@pytest.fixture
def tiny(tmp_path: Path) -> Artifact:
    return write_tiny_artifact(tmp_path / "models", with_novelty=True)


def table(folder: Path, images: Path, *, more: str = "", group: str = "group") -> Path:
    rows = [f"{images / str(n)}.png,{label},{who}" for n, (_, label, who) in enumerate(draw_rows())]
    path = folder / "labels.csv"
    path.write_text("\n".join([f"path,label,{group}", *rows]) + "\n" + more, encoding="utf-8")
    return path


def blue_rows(folder: Path) -> list[str]:
    """Write 20 pictures on which the model abstains; give their rows."""
    rows = []
    for number in range(20):
        blue = picture(2000 + number, 20)
        blue[..., 2] = 200
        Image.fromarray(blue).save(folder / f"blue{number}.png")
        rows.append(f"blue{number}.png,benign,B{number}")
    return rows


def recalibrate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["models", "recalibrate", *map(str, arguments)])


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_both_variants_of_the_network_are_carried_along(tmp_path: Path, home: Path, images: Path) -> None:
    maker = write_tiny_artifact(tmp_path / "models", int8=tiny_graph(is_one_sided=True))

    result = recalibrate("tiny", "--labels", table(tmp_path, images))

    assert result.exit_code == 0, result.output
    local = read_artifact(home / "models" / "tiny" / "1.1")
    assert local.card.variants == maker.card.variants
    assert local.precisions == maker.precisions
    assert all(local.read_variant(one) == maker.read_variant(one) for one in maker.precisions)


def test_the_new_version_is_the_same_network_with_a_local_card(
    tmp_path: Path, home: Path, tiny: Artifact, images: Path
) -> None:
    labels = table(tmp_path, images)

    result = recalibrate("tiny", "--labels", labels, "--sensitivity", ".95")

    assert result.exit_code == 0, result.output
    local = read_artifact(home / "models" / "tiny" / "1.1")
    card = local.card
    assert local.onnx_path.read_bytes() == tiny.onnx_path.read_bytes()
    assert card.calibration.temperature > 1.2
    assert card.calibration.n == N_STUDIES
    assert "labels.csv" in card.calibration.fitted_on
    assert sha256(labels) in card.calibration.fitted_on
    assert str(tmp_path) not in card.model_dump_json()
    assert [point.name for point in card.operating_points] == ["rule-out", "balanced"]
    assert card.operating_points[0].wanted_sensitivity == 0.95
    assert card.novelty == tiny.card.novelty
    assert [metric.version for metric in card.metrics] == [None, None, None, "1"]
    assert card.metrics[-1].figure == tiny.card.metrics[0].figure
    assert [(part.role, part.source, part.n_images, part.n_groups) for part in card.training_data] == [
        ("train", "none", 0, 0),
        ("validation", "labels.csv", N_STUDIES, N_STUDIES // 2),
    ]
    assert card.recalibrated_from is not None
    assert card.recalibrated_from.card_sha256 == sha256(tiny.folder / "card.json")
    assert card.recalibrated_from.calibration == tiny.card.calibration


def test_the_new_version_is_in_charge_until_a_pin_says_otherwise(
    tmp_path: Path, home: Path, tiny: Artifact, images: Path
) -> None:
    result = recalibrate("tiny", "--labels", table(tmp_path, images))

    folders = [tmp_path / "models", home / "models"]
    assert "tiny/1.1 is now in charge" in result.output
    assert Registry(folders).get("tiny").label == "tiny/1.1"
    assert 'in_charge = ["tiny/1"]' in result.output
    (home / "models" / "in-charge.toml").write_text('in_charge = ["tiny/1"]\n', encoding="utf-8")
    assert Registry(folders).get("tiny").label == tiny.label


def test_a_local_version_made_of_a_local_version_keeps_its_makers_part(
    tmp_path: Path, home: Path, tiny: Artifact, images: Path
) -> None:
    labels = table(tmp_path, images)
    recalibrate("tiny", "--labels", labels)
    first = read_artifact(home / "models" / "tiny" / "1.1").card

    result = recalibrate("tiny", "--labels", labels, "--specificity", "0.8")

    assert "was fitted on this very table" in result.output
    second = read_artifact(home / "models" / "tiny" / "1.2").card
    assert second.recalibrated_from == first.recalibrated_from
    assert len(second.training_data) == len(first.training_data)
    assert [metric.version for metric in second.metrics] == [None, None, None, tiny.card.version]
    assert second.limits == first.limits


@pytest.mark.usefixtures("tiny")
def test_nothing_is_ever_overwritten(tmp_path: Path, home: Path, images: Path) -> None:
    labels = table(tmp_path, images)
    recalibrate("tiny@1", "--labels", labels, "--as", "3")
    before = (home / "models" / "tiny" / "3" / "card.json").read_bytes()

    result = recalibrate("tiny@1", "--labels", labels, "--as", "3")

    assert result.exit_code == 1
    assert "tiny/3 exists and is never overwritten" in result.output
    assert (home / "models" / "tiny" / "3" / "card.json").read_bytes() == before


@pytest.mark.usefixtures("tiny")
def test_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, home: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("models.artifact.os.fsync", refuse)
    result = recalibrate("tiny", "--labels", table(tmp_path, images))

    assert result.exit_code == 1
    assert "No space left on device" in result.output
    assert list((home / "models" / "tiny").iterdir()) == []


def test_what_is_calibrated_is_what_is_served(tmp_path: Path, tiny: Artifact, images: Path) -> None:
    labels = table(tmp_path, images)
    listed = read_listed(labels, tiny.card, group_column="group", encoding="utf-8")[:20]
    studies, unusable = find_labelled(labels, listed, tiny.card, scratch=tmp_path)
    session = Session(tiny)

    logits = tuple(run_study(one.study, session).frame_logits for one in studies)
    scored = ScoredStudies(logits, np.zeros(20, np.int64), np.array([one.group for one in studies]))
    calibrated = pooled_probabilities(tiny.card, scored, Scaling.of(tiny.card.calibration))

    served = [score_study(one.study, session, identity(session)).probabilities for one in studies]
    assert not unusable
    assert calibrated.tolist() == [list(one.values()) for one in served]


@pytest.mark.usefixtures("tiny")
def test_dicom_and_photographs_may_be_mixed(tmp_path: Path, home: Path, images: Path) -> None:
    rows = []
    for number, (grey, label, _) in enumerate(draw_rows(10)):
        for view in (1, 2):
            path = tmp_path / f"{number}-{view}.dcm"
            info = ObjectInfo(seed=f"study {number}", label="MADE FOR A TEST")
            write_photograph(path, picture(1000 + 2 * number + view, grey), info=info, instance=view)
            rows.append(f"{path},{label},D{number}")

    result = recalibrate("tiny", "--labels", table(tmp_path, images, more="\n".join(rows) + "\n"))

    assert result.exit_code == 0, result.output
    card = read_artifact(home / "models" / "tiny" / "1.1").card
    assert card.calibration.n == N_STUDIES + 10
    assert card.training_data[-1].n_images == N_STUDIES + 20


@pytest.mark.usefixtures("tiny")
def test_an_image_that_cannot_be_read_is_named_and_left_out_only_when_that_is_said(
    tmp_path: Path, home: Path, images: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "text.jpg").write_bytes(b"no picture")
    labels = table(tmp_path, images, more="broken.png,benign,X\ntext.jpg,benign,Y\n")

    refused = recalibrate("tiny", "--labels", labels)
    went_on = recalibrate("tiny", "--labels", labels, "--skip-unusable")

    assert refused.exit_code == 1
    for line, name in ((N_STUDIES + 2, "broken.png"), (N_STUDIES + 3, "text.jpg")):
        assert any(f"line {line}: " in text and name in text for text in refused.output.splitlines())
    assert "2 of 162 images cannot be scored; mend them, or add --skip-unusable" in refused.output
    assert went_on.exit_code == 0
    assert "left out: line 162" in went_on.output
    assert read_artifact(home / "models" / "tiny" / "1.1").card.calibration.n == N_STUDIES


def test_studies_on_which_the_model_abstains_are_left_out_unless_the_limit_is_moved(
    tmp_path: Path, home: Path, tiny: Artifact, images: Path
) -> None:
    rows = blue_rows(tmp_path)
    labels = table(tmp_path, images, more="\n".join(rows) + "\n")

    kept = recalibrate("tiny@1", "--labels", labels)
    moved = recalibrate("tiny@1", "--labels", labels, "--novelty-acceptance", "1.0")

    assert "20 of 180 studies were left out: the model abstains" in kept.output
    assert moved.exit_code == 0, moved.output
    first, second = (read_artifact(home / "models" / "tiny" / version) for version in ("1.1", "1.2"))
    assert first.card.calibration.n == N_STUDIES
    assert second.card.calibration.n == N_STUDIES + 20
    assert first.novelty is not None
    assert second.novelty is not None
    assert tiny.novelty is not None
    assert first.novelty.threshold == tiny.novelty.threshold < second.novelty.threshold


@pytest.mark.usefixtures("tiny")
def test_the_group_may_stand_in_a_column_of_another_name(tmp_path: Path, images: Path) -> None:
    labels = table(tmp_path, images, group="patient")

    assert "lacks the column group" in recalibrate("tiny", "--labels", labels).output
    assert recalibrate("tiny", "--labels", labels, "--group", "patient").exit_code == 0


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (
            "0.png,melanoma,P,\n",
            r"line 2: label 'melanoma' is no class of tiny, which knows benign, malignant",
        ),
        ("9.png,benign,P,\n", r"line 2: .*9\.png does not exist"),
        ("0.png,benign,P,S\n1.png,benign,Q,S\n", r"line 3: study 'S' lies in group 'Q' and in 'P'"),
        (
            "0.png,benign,P,\n1.png,benign,Q,\n0b.png,benign,Q,\n",
            r"line 4: group 'Q' contradicts 'P' in line 2",
        ),
        ("0.png,benign,P,S\n1.png,benign,P,S\n", r"there are 0 studies in 0 groups of malignant"),
        ("", r"lists no images"),
    ],
)
def test_a_table_that_will_not_do_is_refused_with_its_line(tmp_path: Path, rows: str, problem: str) -> None:
    for name, number in (("0", 0), ("1", 1), ("0b", 0)):
        Image.fromarray(picture(number, 99)).save(tmp_path / f"{name}.png")
    labels = tmp_path / "labels.csv"
    labels.write_text(f"path,label,group,study\n{rows}", encoding="utf-8")

    result = recalibrate("tiny", "--labels", labels)

    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert re.search(problem, result.output), result.output


def test_the_images_of_a_named_study_are_one_study_and_a_finding_in_one_is_its_label(
    tmp_path: Path, tiny: Artifact
) -> None:
    for number in range(3):
        Image.fromarray(picture(number, 99)).save(tmp_path / f"{number}.png")
    labels = tmp_path / "labels.csv"
    labels.write_text(
        "path,label,group,study\n0.png,benign,P,S\n1.png,malignant,P,S\n2.png,benign,Q,\n", encoding="utf-8"
    )

    listed = read_listed(labels, tiny.card, group_column="group", encoding="utf-8")
    studies, _ = find_labelled(labels, listed, tiny.card, scratch=tmp_path)

    assert [(len(one.study.paths), one.label, one.group, one.line) for one in studies] == [
        (2, "malignant", "P", 2),
        (1, "benign", "Q", 4),
    ]


@pytest.mark.usefixtures("tiny")
@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["none"], "is not among the models"),
        (["tiny", "--as", "one"], "a version is numbers"),
        (["tiny", "--sensitivity", "95"], "--sensitivity"),
    ],
)
def test_a_wrong_command_line_ends_with_status_2(
    tmp_path: Path, images: Path, arguments: list[str], problem: str
) -> None:
    result = recalibrate(*arguments, "--labels", table(tmp_path, images))

    assert result.exit_code == 2
    assert problem in result.output


@pytest.mark.usefixtures("tiny")
def test_a_point_that_is_not_there_cannot_be_used(tmp_path: Path, images: Path) -> None:
    labels = table(tmp_path, images)

    refused = recalibrate("tiny", "--labels", labels, "--use", "rule-out")
    given = recalibrate("tiny", "--labels", labels, "--use", "rule-out", "--sensitivity", "0.9")

    assert (refused.exit_code, given.exit_code) == (1, 0)
    assert "tiny/1 has no operating point 'rule-out'" in refused.output
    (listed,) = [json.loads(CliRunner().invoke(app, ["models", "show", "tiny", "--format", "json"]).stdout)]
    assert listed["default_operating_point"] == "rule-out"
    assert listed["version"] == "1.1"


@pytest.mark.usefixtures("tiny")
def test_a_refusal_tells_how_many_studies_the_model_abstained_on(tmp_path: Path, images: Path) -> None:
    rows = blue_rows(tmp_path)
    labels = tmp_path / "few.csv"
    few = [f"{images / str(n)}.png,{label},{who}" for n, (_, label, who) in enumerate(draw_rows(30))]
    labels.write_text("\n".join(["path,label,group", *few, *rows]) + "\n", encoding="utf-8")

    result = recalibrate("tiny", "--labels", labels)

    assert result.exit_code == 1
    assert "expected at least 30 in 10; label more (20 of 50 were left out" in result.output
