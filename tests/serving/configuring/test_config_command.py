import os
import socket
from pathlib import Path

import pytest
from filelock import FileLock
from typer.testing import CliRunner, Result

from serving.cli import app
from serving.store.database import open_database
from tests.tiny_model import write_tiny_artifact


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith(("FIRSTREAD_", "CREDENTIALS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FIRSTREAD_CONFIG", "")  # what a command sets, pytest takes back


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    open_database(home / "firstread.sqlite").close()
    (home / "objects").mkdir()
    write_tiny_artifact(tmp_path / "models", name="derm-lesion", classes=("nv", "mel"))
    return home


def run(verb: str, tmp_path: Path, text: str) -> Result:
    file = tmp_path / "firstread.toml"
    file.write_text(text, encoding="utf-8")
    return CliRunner().invoke(app, ["config", verb, "--config", str(file)])


def test_good_settings_are_tried_and_told_line_by_line(tmp_path: Path, home: Path) -> None:
    result = run("check", tmp_path, f'home = "{home}"\nport = 0\nmodels = ["{tmp_path / "models"}"]\n')
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "ok   settings",
        "ok   home",
        "ok   database",
        "ok   objects",
        "ok   models",
        "ok   policy",
        "ok   admission",
        "ok   port",
    ]
    assert "sqlite 3." in lines[2]
    assert lines[4] == "ok   models: derm-lesion/1"


def test_check_makes_nothing(tmp_path: Path) -> None:
    result = run("check", tmp_path, f'home = "{tmp_path / "none"}"\nport = 0\n')
    assert result.exit_code == 0, result.output
    assert "will be made" in result.output
    assert not (tmp_path / "none").exists()


def test_a_database_without_tables_and_a_home_at_work_are_told_to_be(tmp_path: Path, home: Path) -> None:
    (home / "firstread.sqlite").unlink()
    (home / "firstread.sqlite").touch()
    (home / "spool").mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        FileLock(home / "spool" / "0.lock"),
    ):
        port = taken.getsockname()[1]
        result = run(
            "check", tmp_path, f'home = "{home}"\nport = {port}\nmodels = ["{tmp_path / "models"}"]\n'
        )
    assert result.exit_code == 0, result.output
    assert "ok   database: is empty: the first start makes its tables" in result.output
    assert "is taken, as by the service at work" in result.output


def test_everything_that_will_not_do_is_told_at_once(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "models" / "broken" / "1"
    broken.mkdir(parents=True)
    (broken / "card.json").write_text("{}", encoding="utf-8")
    policy = tmp_path / "policy.toml"
    policy.write_text("nonsense", encoding="utf-8")
    monkeypatch.setenv("FIRSTREAD_WORKRES", "3")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run(
            "check",
            tmp_path,
            f'home = "{home}"\nport = {port}\nmodels = ["{tmp_path / "models"}", "/none"]\n'
            f'policy = "{policy}"\ndatasets = "/nowhere"\n'
            'database_url = "postgresql://firstread:hunter2@127.0.0.1:1/none"\n',
        )
    assert result.exit_code == 1
    bad = {line.split(":")[0]: line for line in result.output.splitlines() if line.startswith("bad")}
    assert set(bad) == {
        "bad  environment",
        "bad  datasets",
        "bad  models",
        "bad  policy",
        "bad  database",
        "bad  port",
    }
    assert "FIRSTREAD_WORKRES is no setting; is FIRSTREAD_WORKERS meant?" in bad["bad  environment"]
    assert bad["bad  datasets"].endswith("firstread.toml:5: /nowhere does not exist")
    assert "hunter2" not in result.output


def test_show_tells_where_each_setting_stands_and_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTREAD_WORKERS", "2")
    monkeypatch.setenv("FIRSTREAD_OIDC_CLIENT_SECRET", "hunter2")
    result = run(
        "show",
        tmp_path,
        'database_url = "postgresql://u:hunter2@db/x?sslpassword=hunter2"\nport = 81\n',
    )
    assert result.exit_code == 0, result.output
    assert "hunter2" not in result.output
    lines = dict(line.split(" = ", 1) for line in result.output.splitlines())
    assert lines["workers"] == "2  # FIRSTREAD_WORKERS"
    assert lines["port"].endswith(f"81  # {tmp_path / 'firstread.toml'}:2")
    assert lines["host"] == "127.0.0.1  # default"
    assert lines["database_url"].startswith("postgresql://u:********@db/x?sslpassword=********")
    assert lines["oidc_client_secret"] == "********  # FIRSTREAD_OIDC_CLIENT_SECRET"


def test_every_command_reads_the_file(tmp_path: Path, home: Path) -> None:
    file = tmp_path / "firstread.toml"
    file.write_text(f'home = "{home}"\n', encoding="utf-8")
    result = CliRunner().invoke(app, ["--config", str(file), "audit", "public-key"])
    assert "audit" in result.output + str(result.exception)
    wrong = CliRunner().invoke(app, ["--config", str(tmp_path / "none.toml"), "admin", "collect"])
    assert wrong.exit_code == 1
    assert "cannot be read" in wrong.output
