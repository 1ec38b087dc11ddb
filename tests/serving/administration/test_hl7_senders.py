"""Who may send orders by HL7: entered at the keyboard, kept in the trail."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from serving.cli import app
from serving.store.audit import read_rows
from serving.store.audit_chain import Action
from serving.store.database import open_database
from serving.store.sites import LOCAL_SITE, add_site

RUNNER = CliRunner()


def run(home: Path, *arguments: str) -> tuple[int, str]:
    done = RUNNER.invoke(app, ["admin", "hl7-senders", *arguments, "--home", str(home)])
    return done.exit_code, done.output


def _make(home: Path, site: str = LOCAL_SITE) -> None:
    home.mkdir()
    database = open_database(home / "firstread.sqlite")
    with database.writing() as connection:
        add_site(connection, site, site)
    database.close()


def test_a_sender_is_entered_listed_and_removed_and_each_leaves_a_row(tmp_path: Path) -> None:
    home = tmp_path / "home"
    _make(home, "north")
    given = ["--network", "10.1.2.0/24", "--application", "RIS", "--charset", "GBK", "--accession", "obr-3"]
    status, entered = run(home, "add", "--site", "north", *given)
    assert status == 0
    key, *rest = entered.split()
    assert rest == ["north", "10.1.2.0/24", "RIS@*", "GBK", "OBR-3"]
    assert run(home, "list") == (0, entered)
    assert run(home, "add", "--site", "north", *given)[0] == 1
    assert run(home, "remove", key) == (0, entered)
    assert run(home, "list") == (0, "")
    assert run(home, "remove", key)[0] == 1
    database = open_database(home / "firstread.sqlite")
    with database.reading() as connection:
        rows = [row for row in read_rows(connection) if "hl7_sender" in row.details]
    database.close()
    assert [(row.action, row.site) for row in rows] == [(Action.PERMISSION_CHANGED, "north")] * 2


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--site", "nowhere", "--network", "10.0.0.1"], "no site"),
        (["--site", "local", "--network", "0.0.0.0/0"], "smaller"),
        (["--site", "local", "--network", "hospital"], "network"),
        (["--site", "local", "--network", "10.0.0.1", "--charset", "EBCDIC"], "character set"),
        (["--site", "local", "--network", "10.0.0.1", "--accession", "PID-3"], "PID-3"),
    ],
)
def test_what_would_let_in_anybody_or_nobody_is_refused(
    tmp_path: Path, arguments: list[str], word: str
) -> None:
    _make(tmp_path / "home")
    status, said = run(tmp_path / "home", "add", *arguments)
    assert (status, word in said) == (1, True), said
