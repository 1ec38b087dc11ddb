"""`firstread admin quarantine`: on a home, beside the service that works on it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serving.cli import app
from serving.scoring.durable import make_tables
from tests.serving.quarantine.refusing import commented, image_of_ct, written
from tests.serving.service_in_process import in_process


def _run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["admin", "quarantine", *arguments, "--home", str(home)])


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Give a home in which a duplicate, a letter and a note wait."""
    folder = tmp_path / "home"
    folder.mkdir()
    dataset = image_of_ct(tmp_path / "ct")
    with in_process(folder, place=folder / "firstread.sqlite") as service:
        for name, content in (
            ("first.dcm", written(dataset)),
            ("second.dcm", commented(dataset, "other")),
            ("letter.txt", b"a letter"),
            ("note.txt", b"a note"),
        ):
            service.client.post("/api/v1/studies", files={"files": (name, content)})
    make_tables(folder / "firstread.sqlite")
    return folder


def test_what_waits_is_listed_shown_taken_in_given_up_and_purged(home: Path) -> None:
    listed = _run(home, "list")
    assert listed.exit_code == 0, listed.output
    lines = listed.output.splitlines()
    assert lines[0].endswith("note.txt, 6 bytes")
    assert len(lines) == 3
    assert len(_run(home, "list", "--reason", "duplicate-uid").output.splitlines()) == 1
    note, letter, duplicate = (line.split()[0] for line in lines)

    shown = json.loads(_run(home, "show", duplicate).output)
    assert (shown["reason"], shown["header"]["patient"]) == ("duplicate-uid", "P1")
    refused = _run(home, "retry", duplicate)
    assert refused.exit_code == 1
    assert "duplicate-uid" in refused.output + str(refused.exception)

    assert _run(home, "discard", letter, "--why", "a letter").exit_code == 0
    assert _run(home, "discard", letter, "--why", "again").exit_code == 1
    bulk = _run(home, "retry", "--reason", "not-an-image")
    assert "taken in: 0; refused again: 1; left: 0" in bulk.output
    assert note in bulk.output
    assert _run(home, "retry").exit_code == 1
    said = _run(home, "purge", "--older-than-days", "0")
    assert said.output.startswith("would be removed: 3")
    assert _run(home, "purge", "--older-than-days", "0", "--delete").output.startswith("removed: 3")
    assert _run(home, "list").output == ""
