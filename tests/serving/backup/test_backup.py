import os
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from serving.backup.restoring import EARLIER_KEY
from serving.cli import app
from tests.journeys.process import PATIENCE_S, ROOT, Program, command, environment, started
from tests.serving.service_in_process import photograph
from tests.tiny_model import write_tiny_artifact


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_tiny_artifact(folder, name="derm-lesion", classes=("nv", "mel"))
    return folder


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, models: Path) -> Path:
    """Give the home of a service that has stopped, with three studies."""
    folder = tmp_path_factory.mktemp("filled")
    with started("serve", "--models", str(models), home=folder / "home", log=folder / "log") as program:
        send(program, 3)
        program.wait_until_scored(3)
    return folder / "home"


@pytest.fixture
def home(tmp_path: Path, filled: Path) -> Path:
    """Give a copy of that home."""
    subprocess.run(["cp", "-a", str(filled), str(tmp_path / "home")], check=True)
    return tmp_path / "home"


@pytest.fixture(autouse=True)
def _without_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in os.environ if one.startswith("FIRSTREAD_")]:
        monkeypatch.delenv(name)


def send(program: Program, n_studies: int, first: int = 0) -> None:
    for number in range(first, first + n_studies):
        status, _ = program.post(
            (f"{number}.jpg", photograph(number % 250, blue=number // 250, coding="PNG"))
        )
        assert status == 201


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def images_of(home: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes()
        for path in (home / "objects").glob("[0-9a-f][0-9a-f]/*")
        if path.is_file()
    }


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_a_restored_home_is_the_same_byte_for_byte_and_goes_on(
    tmp_path: Path, home: Path, models: Path, name: str
) -> None:
    made = run("backup", "--home", home, "--to", tmp_path / name)
    assert made.exit_code == 0, made.output
    assert "3 images" in made.output
    restored = run("restore", "--from", tmp_path / name, "--home", tmp_path / "new")
    assert restored.exit_code == 0, restored.output
    assert "0 findings" in restored.output
    assert images_of(tmp_path / "new") == images_of(home)
    assert len(images_of(home)) == 3
    for key in ("audit/signing-key.pem", "identity/sealing.key"):
        if (home / key).exists():
            assert (tmp_path / "new" / key).read_bytes() == (home / key).read_bytes()
            assert (tmp_path / "new" / key).stat().st_mode & 0o077 == 0
    assert run("audit", "verify", "--home", tmp_path / "new").exit_code == 0
    with started("serve", "--models", str(models), home=tmp_path / "new", log=tmp_path / "log") as program:
        entries = program.get("/api/v1/worklist")["entries"]
        assert [entry["state"] for entry in entries] == ["scored"] * 3
        assert program.get("/readyz")["status"] == "ready"
        send(program, 1, first=77)
        program.wait_until_scored(4)
    verified = run("audit", "verify", "--home", tmp_path / "new")
    assert verified.exit_code == 0, verified.output


def test_a_backup_of_a_service_at_work_holds_every_image_of_its_rows(tmp_path: Path, models: Path) -> None:
    home = tmp_path / "home"
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
        send(program, 5)
        process = subprocess.Popen(
            command("backup", "--to", str(tmp_path / "backup")),
            cwd=ROOT,
            env=environment(home),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        number = 5
        while process.poll() is None:
            send(program, 1, first=number)
            number += 1
        output, _ = process.communicate()
        assert process.returncode == 0, output
    restored = run("restore", "--from", tmp_path / "backup", "--home", tmp_path / "new")
    assert restored.exit_code == 0, restored.output
    assert "0 findings" in restored.output
    kept, all_there = images_of(tmp_path / "new"), images_of(home)
    assert len(kept) >= 5
    assert all(all_there[name] == content for name, content in kept.items())


def test_the_next_backup_copies_what_is_new_alone(tmp_path: Path, home: Path, models: Path) -> None:
    first = run("backup", "--home", home, "--to", tmp_path / "backup")
    assert "3 of them new" in first.output
    again = run("backup", "--home", home, "--to", tmp_path / "backup")
    assert "3 images" in again.output
    assert "0 of them new" in again.output
    with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
        send(program, 2, first=50)
    third = run("backup", "--home", home, "--to", tmp_path / "backup")
    assert "5 images" in third.output
    assert "2 of them new" in third.output
    assert len(list((tmp_path / "backup" / "sets").iterdir())) == 1
    assert run("restore", "--from", tmp_path / "backup", "--home", tmp_path / "new").exit_code == 0
    assert images_of(tmp_path / "new") == images_of(home)


def test_a_backup_without_keys_keeps_the_public_one_and_the_trail_can_be_checked(
    tmp_path: Path, home: Path, models: Path
) -> None:
    made = run("backup", "--home", home, "--to", tmp_path / "backup", "--without-keys")
    assert "without the keys" in made.output
    private = [path for path in (tmp_path / "backup").rglob("*") if b"PRIVATE KEY" in _content(path)]
    assert private == []
    restored = run("restore", "--from", tmp_path / "backup", "--home", tmp_path / "new")
    assert restored.exit_code == 0, restored.output
    with started("serve", "--models", str(models), home=tmp_path / "new", log=tmp_path / "log"):
        pass
    keys = [tmp_path / "new" / "audit" / name for name in ("public-key.pem", EARLIER_KEY)]
    verified = run(
        "audit",
        "verify",
        "--home",
        tmp_path / "new",
        *[part for key in keys for part in ("--public-key", key)],
    )
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
@pytest.mark.parametrize(
    "what", ["objects/", "firstread.sqlite", "MANIFEST", "objects.txt", "signing-key.pem"]
)
def test_a_damaged_backup_is_refused_by_naming_the_file(
    tmp_path: Path, home: Path, name: str, what: str
) -> None:
    place = tmp_path / name
    assert run("backup", "--home", home, "--to", place).exit_code == 0
    _damage(place, what)
    refused = run("restore", "--from", place, "--home", tmp_path / "new")
    assert refused.exit_code == 1
    assert what in refused.output
    assert "damaged" in refused.output
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "new.restoring").exists()


def test_a_backup_with_a_file_missing_or_cut_off_is_refused(tmp_path: Path, home: Path) -> None:
    assert run("backup", "--home", home, "--to", tmp_path / "backup").exit_code == 0
    image = next(path for path in (tmp_path / "backup" / "objects").rglob("*") if path.is_file())
    image.unlink()
    refused = run("restore", "--from", tmp_path / "backup", "--home", tmp_path / "new")
    assert refused.exit_code == 1
    assert image.name in refused.output
    assert run("backup", "--home", home, "--to", tmp_path / "backup.tar").exit_code == 0
    tar = tmp_path / "backup.tar"
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    refused = run("restore", "--from", tar, "--home", tmp_path / "new")
    assert refused.exit_code == 1
    assert not (tmp_path / "new").exists()


def test_a_restoring_never_writes_over_anything(tmp_path: Path, home: Path) -> None:
    run("backup", "--home", home, "--to", tmp_path / "backup")
    before = sorted(home.rglob("*"))
    refused = run("restore", "--from", tmp_path / "backup", "--home", home)
    assert refused.exit_code == 1
    assert "is not empty" in refused.output
    assert sorted(home.rglob("*")) == before
    (tmp_path / "empty").mkdir()
    assert run("restore", "--from", tmp_path / "backup", "--home", tmp_path / "empty").exit_code == 0


def test_a_damaged_or_missing_image_keeps_a_backup_from_being_made(tmp_path: Path, home: Path) -> None:
    image = next(iter((home / "objects").glob("[0-9a-f][0-9a-f]/*")))
    image.chmod(0o600)
    image.write_bytes(b"x" * image.stat().st_size)
    for place in ("backup", "backup.tar"):
        refused = run("backup", "--home", home, "--to", tmp_path / place)
        assert refused.exit_code == 1
        assert image.name in refused.output
        assert "damaged" in refused.output
        assert not (tmp_path / place / "MANIFEST").exists()
    image.unlink()
    refused = run("backup", "--home", home, "--to", tmp_path / "backup")
    assert refused.exit_code == 1
    assert "is gone" in refused.output


def test_an_image_that_was_set_aside_is_copied_from_there(tmp_path: Path, home: Path) -> None:
    image = next(iter((home / "objects").glob("[0-9a-f][0-9a-f]/*")))
    (home / "objects" / "set-aside").mkdir()
    image.rename(home / "objects" / "set-aside" / image.name)
    assert run("backup", "--home", home, "--to", tmp_path / "backup").exit_code == 0
    assert run("restore", "--from", tmp_path / "backup", "--home", tmp_path / "new").exit_code == 0
    assert len(images_of(tmp_path / "new")) == 3


@pytest.mark.parametrize(
    ("setting", "told"), [("DATABASE_URL=postgresql://h/x", "pg_dump"), ("OBJECTS_URL=s3://bucket", "bucket")]
)
def test_what_is_kept_elsewhere_is_backed_up_elsewhere(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, setting: str, told: str
) -> None:
    name, _, value = setting.partition("=")
    monkeypatch.setenv(f"FIRSTREAD_{name}", value)
    refused = run("backup", "--home", home, "--to", tmp_path / "backup")
    assert refused.exit_code == 1
    assert told in refused.output


def test_a_place_that_is_none_for_a_backup_is_refused(tmp_path: Path, home: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter").write_text("dear", encoding="utf-8")
    taken = tmp_path / "taken.tar"
    taken.touch()
    for place, told in ((other, "other things"), (taken, "there already"), (home / "in", "on another disk")):
        refused = run("backup", "--home", home, "--to", place)
        assert refused.exit_code == 1
        assert told in refused.output
    missing = run("backup", "--home", tmp_path / "none", "--to", tmp_path / "backup")
    assert "there is no database" in missing.output
    assert (
        "there is no backup" in run("restore", "--from", tmp_path / "none", "--home", tmp_path / "x").output
    )


def test_a_backup_stands_in_the_audit_trail(tmp_path: Path, home: Path) -> None:
    run("backup", "--home", home, "--to", tmp_path / "backup")
    exported = run("audit", "export", "--home", home, "--format", "csv")
    assert '""what"":""backup""' in exported.output.replace(" ", "")


@pytest.mark.parametrize("verb", ["backup", "restore"])
def test_a_kill_in_the_middle_leaves_the_backup_before_or_no_home(
    tmp_path: Path, home: Path, models: Path, verb: str
) -> None:
    place, new = tmp_path / "backup", tmp_path / "new"
    assert run("backup", "--home", home, "--to", place).exit_code == 0
    if verb == "backup":
        with started("serve", "--models", str(models), home=home, log=tmp_path / "log") as program:
            send(program, 40, first=100)
        arguments = ["backup", "--home", str(home), "--to", str(place)]
        begun = place / "sets"
    else:
        arguments = ["restore", "--from", str(place), "--home", str(new)]
        begun = tmp_path / "new.restoring"
    n_killed = 0
    for delay_s in (0.0, 0.002, 0.01, 0.03):
        process = subprocess.Popen(
            command(*arguments), cwd=ROOT, env=environment(None), stdout=subprocess.DEVNULL
        )
        before = set(begun.iterdir()) if begun.is_dir() else set()
        deadline = time.monotonic() + PATIENCE_S
        while process.poll() is None and time.monotonic() < deadline:
            if begun.is_dir() and set(begun.iterdir()) - before:
                break
            time.sleep(0.001)
        time.sleep(delay_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        n_killed += process.returncode == -9
        if verb == "restore" and new.exists():
            break  # it was done already: that home is whole
    assert n_killed
    if verb == "restore" and not new.exists():
        assert run("restore", "--from", place, "--home", new).exit_code == 0
    elif verb == "backup":
        assert run("restore", "--from", place, "--home", new).exit_code == 0  # the one before, or the last
        assert run("backup", "--home", home, "--to", place).exit_code == 0
        subprocess.run(["rm", "-rf", str(new)], check=True)
        assert run("restore", "--from", place, "--home", new).exit_code == 0
        assert len(images_of(new)) == 43
    kept = images_of(new)
    assert kept.items() <= images_of(home).items()
    assert run("audit", "verify", "--home", new).exit_code == 0


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _files(place: Path, what: str) -> Iterator[Path]:
    for path in sorted(place.rglob("*")):
        if path.is_file() and what in path.relative_to(place).as_posix():
            yield path


def _damage(place: Path, what: str) -> None:
    if place.is_dir():
        path = next(_files(place, what))
        path.chmod(0o600)
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        return
    with tarfile.open(place) as tar:
        member = next(one for one in tar.getmembers() if what in one.name)
    content = bytearray(place.read_bytes())
    content[member.offset_data + member.size // 2] ^= 1
    place.write_bytes(content)
