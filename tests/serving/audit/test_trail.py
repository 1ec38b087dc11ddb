"""The trail at work: one order whoever appends, whole after a crash, verified after a purge."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import text

from serving.audit.appending import AppendingTrail
from serving.audit.faults import Fault
from serving.audit.head import HeadFile
from serving.audit.keys import PRIVATE_KEY, open_signing_key
from serving.audit.opening import open_trail
from serving.audit.retention import PurgeRefusedError, purge_before
from serving.audit.trail import AuditTrail
from serving.audit.verify import Report, verify
from serving.errors import StartError
from serving.store.audit import read_rows
from serving.store.audit_chain import Action
from serving.store.database import Database, open_database
from tests.serving.audit.trails import READER, event
from tests.serving.store.databases import Place

ROOT = Path(__file__).resolve().parents[3]

# Appends until it is killed; each number is printed once its row is committed.
APPEND_FOR_EVER = """
import sys
from itertools import count
from pathlib import Path
from serving.audit.opening import open_trail
from serving.store.database import open_existing
from tests.serving.audit.trails import event

home, place = Path(sys.argv[1]), sys.argv[2]
database = open_existing(place if "://" in place else Path(place))
trail = open_trail(database, home)
for number in range(int(sys.argv[3])) if len(sys.argv) > 3 else count():
    trail.note(event(number))
    print(number, flush=True)
"""


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    opened = open_database(place)
    yield opened
    opened.close()


def _trail(database: Database, home: Path) -> AuditTrail:
    trail = open_trail(database, home)
    trail.start(version="test")
    return trail


def _verified(database: Database, home: Path) -> Report:
    key = open_signing_key(home / "audit").public
    return verify(database, [key], HeadFile(home / "audit" / "head"))


def _without_guards(database: Database, statement: str) -> None:
    with database.writing() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            for trigger in connection.execute(
                text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            ).scalars():
                connection.execute(text(f"DROP TRIGGER {trigger}"))
        connection.execute(text(statement))


def test_a_trail_is_whole_from_start_to_stop(database: Database, tmp_path: Path) -> None:
    trail = _trail(database, tmp_path)
    trail.note(event(1))
    with trail.acting() as act:
        act.record(event(2), event(3))
    trail.stop()
    report = _verified(database, tmp_path)
    assert (report.findings, report.n_rows, report.last_checkpoint) == ((), 6, 6)
    with database.reading() as connection:
        actions = [row.action for row in read_rows(connection)]
    assert actions == ["key-made", "started", *["viewed-study"] * 3, "stopped"]


def test_what_is_rolled_back_leaves_no_row_and_no_gap(database: Database, tmp_path: Path) -> None:
    trail = open_trail(database, tmp_path)

    def fail_half_way() -> None:
        with trail.acting() as act:
            act.record(event(1))
            raise TimeoutError

    trail.note(event(0))
    with pytest.raises(TimeoutError):
        fail_half_way()
    trail.note(event(2))
    assert _verified(database, tmp_path).findings == ()
    with database.reading() as connection:
        assert [row.study_uid for row in read_rows(connection)] == ["2.25.0", "2.25.2"]


def test_a_view_that_cannot_be_written_is_written_later_with_its_own_time(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trail = open_trail(database, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(database, "failures", (OSError,))
        patched.setattr(trail, "acting", _disk_is_full)
        trail.note(event(1))
    trail.note(event(2))
    with database.reading() as connection:
        assert [row.at_us for row in read_rows(connection)] == [1_000_000, 2_000_000]


def _disk_is_full() -> None:
    raise OSError("no space left on device")


def test_a_checkpoint_is_signed_every_so_many_rows(database: Database, tmp_path: Path) -> None:
    key = open_signing_key(tmp_path / "audit")
    trail = AuditTrail(database, key=key, head=HeadFile(tmp_path / "audit" / "head"), rows_a_checkpoint=3)
    trail.start(version="test")
    for number in range(9):
        trail.note(event(number))
    assert _verified(database, tmp_path).n_checkpoints >= 2
    trail.stop()


def test_threads_leave_one_chain_without_a_gap(database: Database, tmp_path: Path) -> None:
    trail = open_trail(database, tmp_path)

    def view() -> None:
        for number in range(15):
            trail.note(event(number))

    threads = [Thread(target=view) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    report = _verified(database, tmp_path)
    assert (report.findings, report.n_rows) == ((), 60)


def test_processes_leave_one_chain_and_one_that_is_killed_does_not_break_it(
    database: Database, place: Place, tmp_path: Path
) -> None:
    open_trail(database, tmp_path)
    command = [sys.executable, "-c", APPEND_FOR_EVER, str(tmp_path), str(place)]
    killed = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    other = subprocess.Popen([*command, "25"], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert killed.stdout is not None
    told = 0
    while other.poll() is None or told < 10:
        told += bool(killed.stdout.readline())
    os.kill(killed.pid, signal.SIGKILL)
    told += len(killed.communicate()[0].splitlines())
    other.communicate()
    report = _verified(database, tmp_path)
    assert report.findings == ()
    assert report.n_rows in {told + 25, told + 26}


def test_an_empty_database_under_a_trail_that_had_rows_is_no_new_beginning(
    database: Database, tmp_path: Path
) -> None:
    trail = _trail(database, tmp_path)
    trail.note(event(1))
    trail.stop()
    other = open_database(tmp_path / "other.sqlite")
    with pytest.raises(StartError, match=r"head knows of 4 rows .* restore it from the backup"):
        _trail(other, tmp_path)
    (tmp_path / "audit" / "head").rename(tmp_path / "head.before")
    _trail(other, tmp_path).stop()
    other.close()


@pytest.mark.parametrize(
    ("statement", "fault", "named"),
    [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 4", Fault.ALTERED, (4, 4)),
        ("DELETE FROM audit WHERE seq IN (4, 5)", Fault.REMOVED, (4, 5)),
        ("DELETE FROM audit WHERE seq > 6", Fault.TRUNCATED, (7, 9)),
        ("UPDATE audit_checkpoints SET signature = hash", Fault.FORGED, (9, 9)),
    ],
)
def test_a_trail_that_was_touched_in_the_database_is_named(
    database: Database, tmp_path: Path, statement: str, fault: Fault, named: tuple[int, int]
) -> None:
    trail = _trail(database, tmp_path)
    for number in range(6):
        trail.note(event(number))
    trail.stop()
    _without_guards(database, statement)
    found = _verified(database, tmp_path).findings
    assert (fault, named) in [(one.fault, (one.first, one.last)) for one in found]


def test_a_cut_off_end_is_recorded_at_the_next_start_and_stays_a_finding(
    database: Database, tmp_path: Path
) -> None:
    trail = _trail(database, tmp_path)
    trail.note(event(1))
    trail.stop()
    _without_guards(database, "DELETE FROM audit_checkpoints")
    _without_guards(database, "DELETE FROM audit WHERE seq > 2")
    _trail(database, tmp_path).stop()
    (finding,) = _verified(database, tmp_path).findings
    assert (finding.fault, finding.first) == (Fault.BROKEN, 3)


def test_a_trail_verifies_after_a_purge_which_keeps_what_is_young(database: Database, tmp_path: Path) -> None:
    trail = open_trail(database, tmp_path)
    for number in range(1, 6):
        trail.note(event(number))
    trail.checkpoint()
    trail.note(event(900))
    purged = purge_before(trail, 800_000_000, who=READER)
    assert (purged.first, purged.last, purged.n_rows) == (1, 5, 5)
    trail.note(event(901))
    report = _verified(database, tmp_path)
    assert (report.findings, report.first, report.last) == ((), 6, 8)
    with database.reading() as connection:
        assert [row.action for row in read_rows(connection)][1] == Action.PURGED
    with pytest.raises(PurgeRefusedError):
        purge_before(trail, 800_000_000, who=READER)


def test_a_signing_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    open_signing_key(tmp_path)
    assert (tmp_path / PRIVATE_KEY).stat().st_mode & 0o777 == 0o600
    (tmp_path / PRIVATE_KEY).chmod(0o644)
    with pytest.raises(StartError, match="can be read by others"):
        open_signing_key(tmp_path)


def test_rows_of_a_worker_await_the_next_checkpoint_where_others_may_append(
    database: Database, tmp_path: Path
) -> None:
    trail = _trail(database, tmp_path)
    trail.note(event(1))
    for number in (2, 3):
        with AppendingTrail(database).acting() as act:
            act.record(event(number))
    report = _verified(database, tmp_path)
    if database.is_shared:
        assert report.findings == ()
        assert "await the next checkpoint" in report.notes[-1]
    else:  # nobody else may append to the file of one process
        assert [one.fault for one in report.findings] == [Fault.UNVOUCHED]
    trail.checkpoint()
    trail.stop()
    report = _verified(database, tmp_path)
    assert (report.findings, report.last_checkpoint) == ((), report.last)
