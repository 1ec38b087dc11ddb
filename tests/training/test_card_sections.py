"""The card's parts say what the files say, and name what they cannot say."""

import json
from pathlib import Path

import numpy as np
import pytest

from data.study import Modality
from models.card import Interval, ModelCard
from tests.tiny_model import tiny_card
from training import checklists, failures, fairness, use_section
from training.checklists import CLAIM, CLEAR_DERM, MISSING
from training.data_section import shared_groups
from training.errors import RunError
from training.failures import find_failures
from training.groups import AttributeFigures, Gap
from training.making_section import wall_time
from training.predictions import ScoredSet
from training.run import Run
from training.statement import FOLDER, Statement, statement_of
from training.units import Judged

HEADINGS = {item.heading for item in (*CLEAR_DERM, *CLAIM) if item.heading}


def card_of(*modalities: Modality, when_named: tuple[Modality, ...] = ()) -> ModelCard:
    fields = tiny_card(modalities=modalities, when_named=when_named)
    return ModelCard.model_validate_json(json.dumps(fields | {"onnx_sha256": "0" * 64}))


def run_of(folder: Path, seconds: list[float]) -> Run:
    folder.mkdir()
    run = Run(folder)
    run.facts.write_text(json.dumps({"n_threads": 2, "device": "cpu"}))
    run.metrics.write_text("".join(f'{{"epoch": 1, "seconds": {one}}}\n' for one in seconds))
    return run


def test_the_time_of_all_networks_is_the_sum_of_their_epochs(tmp_path: Path) -> None:
    first, second = run_of(tmp_path / "fold-0", [60.0, 90.0]), run_of(tmp_path / "refit", [30.0])

    spent = wall_time([first, second])

    assert (spent.seconds, spent.n_networks, spent.n_epochs) == (180.0, 2, 3)
    assert str(spent) == "2 networks, trained in 3 min on 2 threads (cpu)"


def test_a_run_that_does_not_tell_its_time_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", [60.0])
    run.metrics.write_text('{"epoch": 1}\n')

    with pytest.raises(RunError, match=r"metrics\.jsonl does not tell how long each epoch took"):
        wall_time([run])


def test_failures_are_the_positives_below_and_the_negatives_above_the_threshold() -> None:
    card = card_of(Modality.DERMOSCOPY)
    point = next(one for one in card.operating_points if one.name == card.default_operating_point)
    malignant = card.class_keys.index("malignant")
    assert point.classes == ("malignant",)
    low, lower, high = point.threshold / 2, point.threshold / 4, (1 + point.threshold) / 2
    scores = np.array([low, lower, high, high, low])
    judged = Judged(
        probabilities=np.column_stack([1 - scores, scores]),
        labels=np.array([malignant, malignant, malignant, 1 - malignant, 1 - malignant]),
        groups=np.array(list("abcde")),
        names=np.array(["low", "lower", "found", "alarm", "quiet"]),
    )

    found = find_failures(card, judged)

    assert [one.name for one in found.missed] == ["lower", "low"]
    assert (found.n_missed, found.n_positive) == (2, 3)
    assert [one.name for one in found.false_alarms] == ["alarm"]
    assert (found.n_false_alarms, found.n_negative) == (1, 2)
    text = failures.section(card, found)
    assert "| `lower` | malignant |" in text
    assert "![" not in text


def test_a_model_for_skin_answers_both_checklists_and_others_one() -> None:
    statement = statement_of("ham10000")

    skin = checklists.section(card_of(Modality.DERMOSCOPY), statement, sorted(HEADINGS))
    head = checklists.section(card_of(Modality.CT), statement, sorted(HEADINGS))

    assert "### CLEAR Derm" in skin
    assert "### CLAIM" in skin
    assert "### CLEAR Derm" not in head
    assert "### CLAIM" in head


def test_what_is_not_known_of_a_set_is_called_missing() -> None:
    card = card_of(Modality.CT)

    known = checklists.section(card, statement_of("ct_ich"), sorted(HEADINGS))
    unknown = checklists.section(card, Statement(), sorted(HEADINGS))

    assert unknown.count(MISSING) > known.count(MISSING) > 0
    assert f"| definition, who labelled, how | {MISSING}: not known of this set |" in unknown


def test_an_answer_under_a_heading_that_the_card_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="no heading 'Data'"):
        checklists.section(card_of(Modality.CT), Statement(), sorted(HEADINGS - {"Data"}))


def test_each_statement_names_publication_country_and_labels() -> None:
    statements = {path.stem: statement_of(path.stem) for path in FOLDER.glob("*.toml")}

    assert {"ham10000", "kermany", "ct_ich"} <= statements.keys()
    for statement in statements.values():
        assert statement.citation
        assert statement.countries
        assert statement.reference_standard


def test_the_gap_that_stands_out_most_from_chance_is_the_one_that_is_told() -> None:
    def gap(figure: str, value: float, by_chance: float) -> Gap:
        return Gap(figure, "a", "b", Interval(value=value, low=0.0, high=0.5, n=60), by_chance)

    gaps = (gap("specificity", 0.2, 0.4), gap("sensitivity", 0.1, 0.05), gap("overconfidence", 0.3, 0.01))
    text = fairness.section([AttributeFigures("sex", (), gaps, None)])

    assert "| sex | sensitivity | a over b | 0.100 (0.000 to 0.500) | 0.050 (yes) |" in text
    assert "too few to compare" in fairness.section([AttributeFigures("sex", (), (), None)])
    assert "**Missing**" in fairness.section([])


def test_groups_in_two_parts_are_counted_once_each() -> None:
    def rows(*groups: str) -> ScoredSet:
        n, names = len(groups), np.array(groups)
        numbers, outputs = np.zeros(n, np.int64), np.zeros((n, 2), np.float32)
        return ScoredSet(outputs, outputs, numbers, names, names, names, numbers)

    assert shared_groups({"train": rows("a", "b"), "test": rows("c")}) == 0
    assert shared_groups({"train": rows("a", "b"), "validation": rows("b"), "test": rows("b", "a")}) == 2


def test_a_model_that_takes_plain_pictures_when_named_says_so() -> None:
    text = use_section.section(card_of(Modality.DIGITAL_RADIOGRAPHY, when_named=(Modality.PHOTOGRAPH,)))

    assert "Named by `--model tiny` it also takes XC" in text
    assert "Not for: diagnosis" in text
