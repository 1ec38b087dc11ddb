"""What is known of a patient reaches the score, whichever way it came in."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from data.body_sites import BodySite
from data.study import PatientContext, Sex
from models.artifact import write_artifact
from serving.cli import app
from serving.scoring.scorer import Scorer
from tests.tiny_model import tiny_card, tiny_graph
from tests.tiny_study import tiny_series, tiny_study

GREY = np.full((32, 32, 3), 128, np.uint8)
# Evidence of the picture is 4 * 128 / 255 - 2: next to none.
EVEN = 4 * 128 / 255 - 2
FACTORS = {
    "terms": [
        {"field": "age", "levels": ["20", "80"], "log_ratios": [[1.0, -1.0], [-1.0, 1.0]]},
        {"field": "site", "levels": ["trunk", "back"], "log_ratios": [[0.0, 0.0], [-0.5, 0.5]]},
    ],
    "left_out": ["sex"],
    "ridge": 10.0,
    "fitted_on": "nothing: it is made up",
    "n": 100,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_artifact(tmp_path / "tiny" / "1", onnx=tiny_graph(), card=tiny_card() | {"context": FACTORS})
    return tmp_path


def malignant(logit: float) -> float:
    return float(1 / (1 + np.exp(-2 * logit)))


@pytest.mark.parametrize(
    ("context", "logit", "used"),
    [
        (PatientContext(), 0.0, {}),
        (PatientContext(sex=Sex.MALE, skin_type=2), 0.0, {}),
        (PatientContext(age_years=80), 1.0, {"age": 80}),
        (PatientContext(age_years=80, body_site="upper back"), 1.5, {"age": 80, "site": BodySite.BACK}),
        (PatientContext(body_site="liver"), 0.0, {}),
    ],
)
def test_what_is_known_moves_the_probabilities_and_is_told(
    folder: Path, context: PatientContext, logit: float, used: dict[str, object]
) -> None:
    study = replace(tiny_study(tiny_series([GREY])), context=context)

    result = Scorer([folder]).score(study)

    assert result.probabilities["malignant"] == pytest.approx(malignant(EVEN + logit), abs=1e-5)
    assert result.context is not None
    assert result.context.used == used


def test_key_images_and_novelty_are_the_pictures_alone(folder: Path) -> None:
    study = tiny_study(tiny_series([GREY]))

    plain, old = (
        Scorer([folder]).score(replace(study, context=PatientContext(age_years=age))) for age in (50.0, 80.0)
    )

    assert plain.key_images[0].score == old.key_images[0].score
    assert plain.novelty == old.novelty


def test_the_command_takes_the_context_and_says_what_it_used(folder: Path, tmp_path: Path) -> None:
    photograph = tmp_path / "photo.png"
    Image.fromarray(GREY).save(photograph)
    options = ["--models", str(folder), "--format", "json", "--jobs", "1"]

    def score(*context: str) -> dict[str, object]:
        result = CliRunner().invoke(app, ["score", str(photograph), *options, *context])
        assert result.exit_code == 0, result.output
        read: dict[str, object] = json.loads(result.stdout)
        return read

    known = score("--age", "80", "--sex", "F", "--site", "左背部")
    unknown = score("--site", "somewhere")

    assert known["context"] == {"used": {"age": 80.0, "site": "back"}, "ignored": []}
    assert unknown["context"] == {
        "used": {},
        "ignored": ["body site 'somewhere' is no place on the skin that is known"],
    }


def test_a_model_of_pictures_alone_uses_nothing(tmp_path: Path) -> None:
    write_artifact(tmp_path / "tiny" / "1", onnx=tiny_graph(), card=tiny_card())
    study = replace(tiny_study(tiny_series([GREY])), context=PatientContext(age_years=80))

    assert Scorer([tmp_path]).score(study).context is None
