"""`firstread simulate` prints what programs expect, draws what people look at, and refuses nonsense."""

import json
import re
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from serving.cli import app

ASKED = (
    "simulate --readers 2 --load 0.8 --prevalence 0.1 --sensitivity 0.9 --specificity 0.9 --read-minutes 10 "
    "--studies 5000"
)
WAITS = ["flagged", "unflagged", "diseased", "healthy", "missed", "longest"]


def run(line: str, *more: str) -> Result:
    return CliRunner().invoke(app, [*line.split(), *more])


def said(result: Result) -> str:
    """Give the error as one line of words, without the terminal's frame and line breaks."""
    return re.sub(r"[\s│]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", result.stderr))


@pytest.mark.parametrize("policy", ["fifo", "flag-first", "flag-first-preemptive", "probability", "due-at"])
def test_json_has_exactly_the_promised_keys(policy: str) -> None:
    result = run(f"{ASKED} --policy {policy} --format json")

    assert result.exit_code == 0
    document = json.loads(result.stdout)
    assert list(document) == ["policy", "waits", "closed_form"]
    assert document["policy"] == policy
    assert list(document["waits"]) == WAITS
    if policy in {"probability", "due-at"}:
        assert document["closed_form"] is None
    else:
        assert list(document["closed_form"]) == WAITS[:-1]


def test_the_closed_form_is_printed_beside_the_simulated_means() -> None:
    document = json.loads(run(f"{ASKED} --policy flag-first --format json").stdout)

    assert document["closed_form"]["diseased"] == pytest.approx(5.8152, abs=0.00005)


def test_a_class_without_studies_is_null() -> None:
    line = ASKED.replace("--prevalence 0.1", "--prevalence 0")

    document = json.loads(run(f"{line} --policy flag-first --format json").stdout)

    assert document["waits"]["diseased"] is None
    assert document["waits"]["missed"] is None
    assert document["closed_form"]["missed"] is None


def test_nothing_but_the_document_is_on_stdout_and_nothing_on_a_stderr_that_is_no_terminal() -> None:
    result = run(f"{ASKED} --policy due-at --auc .95 --format json")

    assert json.loads(result.stdout)["policy"] == "due-at"
    assert result.stderr == ""


def test_equal_seeds_print_equal_documents() -> None:
    line = f"{ASKED} --policy due-at --auc .95 --format json"

    assert run(f"{line} --seed 3").stdout == run(f"{line} --seed 3").stdout
    assert run(f"{line} --seed 3").stdout != run(f"{line} --seed 4").stdout


def test_the_table_sets_the_policy_against_first_come_first_served() -> None:
    result = run(f"{ASKED} --policy due-at --auc .95")

    assert result.exit_code == 0
    assert "Waits under due-at" in result.stdout
    assert "17.78" in result.stdout
    assert "has specificity 0.852" in result.stdout


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("--load 1", "load is 1, expected more than 0 and less than 1"),
        ("--load nan", "load is nan"),
        ("--prevalence 1.5", "prevalence is 1.5, expected 0 to 1"),
        ("--prevalence -0.1", "prevalence is -0.1, expected 0 to 1"),
        ("--sensitivity 2", "sensitivity is 2, expected 0 to 1"),
        ("--readers 0", "readers is 0, expected 1 to 1000"),
        ("--read-minutes 0", "read-minutes is 0, expected a positive time"),
        ("--auc 1", "auc is 1, expected 0.5 to less than 1"),
        ("--studies 10", "studies is 10, expected 1000 to 10000000"),
        ("--seed -1", "seed is -1, expected 0 or more"),
        ("--policy lifo", "'lifo' is not one of"),
        ("--format xml", "'xml' is not one of"),
        ("--load much", "as a number"),
        ("--plot waits.gif", "waits.gif ends in .gif, expected .png, .svg, .pdf"),
        ("--plot waits", "waits ends in nothing, expected .png, .svg, .pdf"),
        ("--plot nowhere/waits.png", "the folder nowhere does not exist"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(more: str, message: str) -> None:
    result = run(f"{ASKED} {more}")

    assert result.exit_code == 2
    assert result.stdout == ""
    assert message in said(result)


def test_a_plot_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    folder = tmp_path / "waits.png"
    folder.mkdir()

    result = run(ASKED, "--plot", str(folder))

    assert result.exit_code == 2
    assert "cannot be written: Is a directory" in said(result)


@pytest.mark.parametrize(
    ("name", "begins"), [("waits.png", b"\x89PNG"), ("waits.svg", b"<?xml"), ("WAITS.PDF", b"%PDF")]
)
def test_the_suffix_chooses_the_format_of_the_plot(tmp_path: Path, name: str, begins: bytes) -> None:
    result = run(f"{ASKED} --policy due-at --auc .95 --format json", "--plot", str(tmp_path / name))

    assert result.exit_code == 0
    assert json.loads(result.stdout)["policy"] == "due-at"
    assert (tmp_path / name).read_bytes().startswith(begins)


@pytest.mark.parametrize("more", ["--prevalence 0", "--prevalence 1", "--sensitivity 1", "--load 0.01"])
def test_a_plot_is_drawn_where_classes_are_empty_or_nobody_waits(tmp_path: Path, more: str) -> None:
    result = run(f"{ASKED} {more} --policy flag-first-preemptive", "--plot", str(tmp_path / "waits.png"))

    assert result.exit_code == 0
    with Image.open(tmp_path / "waits.png") as picture:
        assert picture.width > 1000
