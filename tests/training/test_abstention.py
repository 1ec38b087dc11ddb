"""The figures of abstention are what can be counted by hand, and the card says them."""

from pathlib import Path

import numpy as np
import pytest

from models.runtime import Session
from tests.tiny_model import write_tiny_artifact
from training.abstention import OwnPictures, abstention_metrics, measure_abstention, novelty_scores, section
from training.appraisal import read_abstention
from training.errors import RunError
from training.run import Run

# The tiny model calls new what is much bluer than skin: of the negatives of skin, all.
SKIN, BLUE = (200, 150, 130), (20, 30, 220)
Pictures = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw fewer foreign pictures and resamples than a card needs."""
    monkeypatch.setattr("training.abstention.N_FOREIGN", 12)
    monkeypatch.setattr("training.abstention.N_RESAMPLES", 50)
    monkeypatch.setattr("training.foreign.SAMPLE_PICTURES", ("coins", "rocket"))


def pictures(*colours: tuple[int, int, int]) -> Pictures:
    return np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in colours])


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    return Session(write_tiny_artifact(tmp_path_factory.mktemp("models"), with_novelty=True))


@pytest.fixture(scope="module")
def own() -> OwnPictures:
    return OwnPictures(pictures(SKIN, SKIN, SKIN, BLUE), np.array(list("abcd")), "ham10000")


def test_novelty_is_the_very_score_by_which_serving_abstains(session: Session, own: OwnPictures) -> None:
    assert (novelty_scores(session, own.pictures) > 1).tolist() == [False, False, False, True]


def test_a_part_of_the_own_pictures_is_turned_away(session: Session, own: OwnPictures) -> None:
    figures = measure_abstention(session, own, datasets=None, seed=1)

    assert (figures.own.abstained.value, figures.own.abstained.n) == (0.25, 4)
    assert figures.own.auroc is None
    assert figures.changed.abstained.value == 0.25
    assert figures.missing == ("other data sets",)


def test_foreign_kinds_are_told_apart_by_their_novelty(session: Session) -> None:
    all_skin = OwnPictures(pictures(SKIN, SKIN), np.array(list("ab")), "ham10000")

    figures = measure_abstention(session, all_skin, datasets=None, seed=1)
    negative = next(one for one in figures.foreign if one.kind == "negative")

    assert negative.auroc is not None
    assert negative.auroc.value == 1.0
    assert {one.kind for one in figures.foreign} == {
        "noise",
        "blank",
        "heavily blurred",
        "negative",
        "photographs of other things",
    }


def test_all_or_none_of_few_origins_has_a_wide_interval(session: Session) -> None:
    own = OwnPictures(pictures(SKIN, SKIN, SKIN), np.array(list("aab")), "ham10000")

    abstained = measure_abstention(session, own, datasets=None, seed=1).own.abstained

    assert (abstained.value, abstained.low, abstained.n) == (0.0, 0.0, 3)
    assert abstained.high > 0.6  # two patients tell little


def test_the_same_seed_gives_the_same_figures(session: Session, own: OwnPictures) -> None:
    assert measure_abstention(session, own, datasets=None, seed=1) == measure_abstention(
        session, own, datasets=None, seed=1
    )


def test_the_machines_card_and_the_readers_hold_every_figure(session: Session, own: OwnPictures) -> None:
    figures = measure_abstention(session, own, datasets=None, seed=1)

    metrics = abstention_metrics(figures, "fold 0")
    text = section(figures)

    assert {(one.name, one.group) for one in metrics} >= {
        ("abstained", "all"),
        ("abstained", "ordinarily changed"),
        ("abstained", "foreign: noise"),
        ("novelty_auroc", "foreign: noise"),
    }
    assert all(f"{one.figure.value:.3f} ({one.figure.low:.3f}" in text for one in metrics)
    assert "not measured: other data sets" in text


def test_a_model_without_novelty_has_no_figures(tmp_path: Path, own: OwnPictures) -> None:
    session = Session(write_tiny_artifact(tmp_path))

    with pytest.raises(ValueError, match="tiny/1 does not know novelty"):
        measure_abstention(session, own, datasets=None, seed=1)


def test_a_run_that_was_exported_before_has_none(tmp_path: Path) -> None:
    assert read_abstention(Run(tmp_path)) is None

    (tmp_path / "abstention.json").write_text("{}")
    with pytest.raises(RunError, match="make it again"):
        read_abstention(Run(tmp_path))
