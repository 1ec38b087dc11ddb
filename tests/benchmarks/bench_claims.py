"""Fifty readers who claim at once: none double, and how long the slowest of them waits, on both databases."""

import itertools
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from serving.audit.opening import open_trail
from serving.errors import ServiceError
from serving.identity.caller import EVERY_SITE, Caller, Role
from serving.reading.claims import Claims
from serving.reading.terms import ReadingTerms
from serving.store.audit_chain import ActorKind, Who
from serving.store.database import Database, open_database
from serving.store.sites import ensure_local_site
from tests.benchmarks.measuring import Figure
from tests.serving.store.databases import postgres_server
from tests.serving.store.stored import receive, study

N_READERS = 50
N_WAITING = 2_000
ROUNDS = 15


def measure() -> list[Figure]:
    """Claim on SQLite and on PostgreSQL, each study by its name and the next one."""
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        figures += _measured("SQLite", Path(folder), Path(folder) / "c.sqlite")
    with tempfile.TemporaryDirectory() as folder, postgres_server("max_connections=100") as server:
        server.execute("CREATE DATABASE claims")
        figures += _measured("PostgreSQL", Path(folder), server.address("claims"))
    return figures


def _measured(name: str, folder: Path, place: Path | str) -> list[Figure]:
    database = open_database(place)
    keys = _fill(database)
    trail = open_trail(database, folder)
    claims = Claims(database, trail, ReadingTerms(most_claims=10_000))
    readers = [_reader(number) for number in range(N_READERS)]
    wanted = itertools.count()

    def same(reader: Caller, number: int) -> str | None:
        try:
            return claims.claim(keys[number], reader).study.key
        except ServiceError:
            return None

    def following(reader: Caller, _number: int) -> str | None:
        claimed = claims.next(reader)
        return None if claimed is None else claimed.study.key

    figures = []
    for what, work, n_given in (
        ("the next study", following, N_READERS),
        ("one and the same study", same, 1),
    ):
        times_ms: list[float] = []
        for _ in range(ROUNDS):
            times, given = _at_once(readers, work, next(wanted))
            assert len(given) == len(set(given)) == n_given, (what, len(given))
            times_ms += times
        p99 = statistics.quantiles(times_ms, n=100)[98]
        figures.append(
            Figure(
                f"{N_READERS} readers claim {what} at once, {name}, p99",
                f"{p99:.0f} ms",
                f"median {statistics.median(times_ms):.0f} ms; none double in {ROUNDS} rounds",
                "<= 50 ms",
                p99 <= 50,
            )
        )
    database.close()
    return figures


def _at_once(
    readers: list[Caller], work: Callable[[Caller, int], str | None], number: int
) -> tuple[list[float], list[str]]:
    """Have all readers ask at the same moment: how long each waited, in milliseconds, and what was given."""
    ready = threading.Barrier(len(readers))
    times_ms: list[float] = []
    given: list[str] = []

    def ask(reader: Caller) -> None:
        ready.wait()
        begun = time.perf_counter()
        key = work(reader, number)
        times_ms.append(1000 * (time.perf_counter() - begun))
        if key is not None:
            given.append(key)

    threads = [threading.Thread(target=ask, args=(reader,)) for reader in readers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times_ms, given


def _fill(database: Database) -> list[str]:
    with database.writing() as connection:
        ensure_local_site(connection)
        keys = [
            receive(connection, study(f"1.2.{number}"), now_us=number).study_key
            for number in range(N_WAITING)
        ]
    return keys[::-1]  # those that are named are not those that are next


def _reader(number: int) -> Caller:
    who = Who(ActorKind.PERSON, f"reader-{number}", address="192.0.2.1")
    return Caller(who, frozenset({Role.READER}), EVERY_SITE, None, may_read=True)
