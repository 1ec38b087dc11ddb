import os
from pathlib import Path

import pytest

from serving.errors import StartError
from serving.settings_reading import read_settings, read_with_origins


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [one for one in os.environ if one.startswith("FIRSTREAD_")]:
        monkeypatch.delenv(name)
    path = tmp_path / "firstread.toml"
    monkeypatch.setenv("FIRSTREAD_CONFIG", str(path))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return path


def test_the_file_gives_settings_by_name_or_by_table(file: Path) -> None:
    file.write_text(
        'home = "/srv/f"\nhost_names = ["a.example", "b.example"]\nworkers = 3\n'
        '[objects]\nurl = "s3://bucket/x"\nendpoint = "http://minio:9000"\n[log]\nformat = "json"\n',
        encoding="utf-8",
    )
    settings = read_settings()
    assert settings.home == Path("/srv/f")
    assert settings.host_names == ("a.example", "b.example")
    assert (settings.workers, settings.log_format) == (3, "json")
    assert settings.objects_bucket == "s3://bucket/x"


def test_the_command_line_beats_the_environment_which_beats_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("workers = 3\nport = 3\nrequests_at_once = 3\n", encoding="utf-8")
    monkeypatch.setenv("FIRSTREAD_WORKERS", "4")
    monkeypatch.setenv("FIRSTREAD_PORT", "4")
    read = read_with_origins(port=5)
    assert (read.settings.port, read.settings.workers, read.settings.requests_at_once) == (5, 4, 3)
    assert read.origins["workers"] == "FIRSTREAD_WORKERS"
    assert read.origins["requests_at_once"] == f"{file}:3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# a\nworker = 3\n", ":2: there is no setting worker; is workers meant?"),
        ('[objects]\nurll = "/x"\n', ":2: there is no setting objects.urll; is objects_url meant?"),
        ("\n\nworkers = -1\n", ":3: FIRSTREAD_WORKERS is -1: Input should be greater than or equal to 0."),
        ('workers = "many"\n', ":1: FIRSTREAD_WORKERS is 'many': Input should be a valid integer"),
        ("workers = [1, 2]\n", ":1: FIRSTREAD_WORKERS is [1, 2]: Input should be a valid integer."),
        (
            'log_format = "xml"\n',
            ":1: FIRSTREAD_LOG_FORMAT is 'xml': Input should be 'auto', 'json' or 'text'.",
        ),
        ("workers = \n", " is no TOML: Invalid value (at line 1, column 11)."),
        ('objects_url = "/a"\n[objects]\nurl = "/b"\n', ":1: objects_url stands there twice, see "),
        ('objects_encryption = "aws:kms"\n', "(OBJECTS_ENCRYPTION at "),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_line(file: Path, text: str, expected: str) -> None:
    file.write_text(text, encoding="utf-8")
    with pytest.raises(StartError) as caught:
        read_settings()
    message = str(caught.value)
    assert str(file) in message
    assert expected in message


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    with pytest.raises(StartError, match="cannot be read: No such file"):
        read_settings()
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(StartError, match="not written in UTF-8"):
        read_settings()


def test_a_secret_may_stand_in_a_file_of_its_own(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('database_url = "postgresql://in-the-toml/x"\n', encoding="utf-8")
    secret = tmp_path / "secret"
    secret.write_text("postgresql://u:pw@db/x\n", encoding="utf-8")
    monkeypatch.setenv("FIRSTREAD_DATABASE_URL_FILE", str(secret))
    assert read_settings().database_url == "postgresql://u:pw@db/x"
    monkeypatch.setenv("FIRSTREAD_DATABASE_URL", "postgresql://other/x")
    with pytest.raises(StartError, match="FIRSTREAD_DATABASE_URL or FIRSTREAD_DATABASE_URL_FILE, not both"):
        read_settings()
    monkeypatch.delenv("FIRSTREAD_DATABASE_URL")
    secret.write_text("", encoding="utf-8")
    with pytest.raises(StartError, match="is empty"):
        read_settings()
    secret.unlink()
    with pytest.raises(StartError, match=r"FIRSTREAD_DATABASE_URL_FILE .* cannot be read: No such file"):
        read_settings()


def test_a_secret_may_be_a_credential_of_systemd(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("", encoding="utf-8")
    (tmp_path / "firstread.database_url").write_text("postgresql://u:pw@db/x", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    read = read_with_origins()
    assert read.settings.database_url == "postgresql://u:pw@db/x"
    assert read.origins["database_url"] == str(tmp_path / "firstread.database_url")


def test_an_address_that_is_refused_is_not_repeated(file: Path) -> None:
    file.write_text('database_url = "mysql://u:hunter2@db/x"\n', encoding="utf-8")
    with pytest.raises(StartError) as caught:
        read_settings()
    assert "hunter2" not in str(caught.value)
    assert f"{file}:1: FIRSTREAD_DATABASE_URL: it must begin with postgresql://" in str(caught.value)
