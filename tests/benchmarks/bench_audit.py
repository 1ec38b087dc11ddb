"""What the audit trail costs: one append, and a durable receipt with its row beside one without."""

import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from sqlalchemy import Connection

from serving.audit.opening import open_trail
from serving.store.audit import append
from serving.store.audit_chain import Action, ActorKind, AuditEvent, Who
from serving.store.database import open_database
from serving.store.queue import Placement
from serving.store.receipt import ArrivedInstance, ArrivedStudy, record
from serving.store.sites import LOCAL_SITE, ensure_local_site
from tests.benchmarks.measuring import Figure, in_turn

N_APPENDS = 500
ROUNDS = 40
STUDIES_A_COMMIT = 10


def measure() -> list[Figure]:
    """Time appends inside of a transaction, and receipts with and without their rows."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        database = open_database(home / "firstread.sqlite")
        try:
            with database.writing() as connection:
                ensure_local_site(connection)
                append_ms = _append_cpu_ms(connection)
            trail = open_trail(database, home)
            numbers = count()

            def with_row() -> None:
                with trail.acting() as act:
                    uids = [_receive(act.connection, next(numbers)) for _ in _COMMIT]
                    act.record(*(_received(uid) for uid in uids))

            def without() -> None:
                with database.writing() as connection:
                    for _ in _COMMIT:
                        _receive(connection, next(numbers))

            pair = in_turn(with_row, without, rounds=ROUNDS)
        finally:
            database.close()
    slower = 100 * (1 / pair.speed_up - 1)
    return [
        Figure("audit: one append, processor time", f"{append_ms:.2f} ms", "-", "<= 1 ms", append_ms <= 1),
        Figure(
            f"a commit of {STUDIES_A_COMMIT} receipts with their audit rows",
            f"{1000 * pair.ours_median_s:.1f} ms",
            f"without: {1000 * pair.peer_median_s:.1f} ms, {slower:+.0f} %",
            "-",
            None,
        ),
    ]


_COMMIT = range(STUDIES_A_COMMIT)


def _append_cpu_ms(connection: Connection) -> float:
    append(connection, [_received("2.25.0")])
    return (
        1000
        * _cpu_s(lambda: [append(connection, [_received("2.25.0")]) for _ in range(N_APPENDS)])
        / N_APPENDS
    )


def _cpu_s(work: Callable[[], object]) -> float:
    # other programs on the machine do not count
    start = time.process_time()
    work()
    return time.process_time() - start


def _receive(connection: Connection, number: int) -> str:
    uid = f"2.25.{number}"
    image = ArrivedInstance(uid, None, "series", "XC", 1, 600, 600, f"{number:064x}", 500_000, "mole.jpg")
    arrived = ArrivedStudy(uid=uid, modality="XC", priority="routine", instances=(image,))
    record(
        connection,
        arrived,
        site=LOCAL_SITE,
        now_us=number,
        place_unscored=lambda at_us, _: Placement(at_us, "urgent", "not scored yet", "尚未评分", "1"),
        enqueue=lambda _connection, _job: None,
        max_images=10,
    )
    return uid


def _received(uid: str) -> AuditEvent:
    who = Who(ActorKind.ANONYMOUS, "anonymous", address="192.0.2.7", request_id="0123456789abcdef")
    details = {"state": "received", "images": 1, "objects_sha256": "0" * 64}
    return AuditEvent(
        Action.RECEIVED, who, LOCAL_SITE, time.time_ns() // 1000, study_uid=uid, details=details
    )
