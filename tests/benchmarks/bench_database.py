"""The top 50 of 1,000,000 waiting studies: at the database and through HTTP, on both databases."""

import http.client
import os
import statistics
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from serving.store.database import Database, open_database
from serving.store.queue import read_page
from serving.store.sites import LOCAL_SITE
from serving.store.tenancy import Scope
from tests.benchmarks.long_queue import fill
from tests.benchmarks.measuring import Figure, seconds
from tests.journeys.process import started
from tests.serving.store.databases import postgres_server
from tests.tiny_model import write_tiny_artifact

FEW, MANY = 10_000, 1_000_000
N_ROUNDS = 100

SCOPES = {
    "one site": Scope.of(LOCAL_SITE),
    "ten sites": Scope.of(LOCAL_SITE, *(f"site-{number}" for number in range(9))),
    "the network": Scope(None),
}


def measure() -> list[Figure]:
    """Fill each database step by step, and time the same page at each size."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        home.mkdir()
        figures = _measured("SQLite", home, home / "firstread.sqlite")
    with tempfile.TemporaryDirectory() as folder, postgres_server("max_connections=100") as server:
        server.execute("CREATE DATABASE queue")
        figures += _measured("PostgreSQL", Path(folder) / "home", server.address("queue"))
    return figures


def _measured(name: str, home: Path, place: Path | str) -> list[Figure]:
    database = open_database(place)
    few_ms, many_ms = {}, {}
    try:
        fill(database, first=1, last=FEW)
        few_ms = {words: _median_page_ms(database, scope) for words, scope in SCOPES.items()}
        fill(database, first=FEW + 1, last=MANY)
        many_ms = {words: _median_page_ms(database, scope) for words, scope in SCOPES.items()}
    finally:
        database.close()
    served_ms, durable_ms = _median_answer_ms(home, place)
    pages = [
        Figure(
            f"top 50 of 1,000,000 waiting, {words}, {name}",
            f"{many_ms[words]:.2f} ms",
            f"of 10,000: {few_ms[words]:.2f} ms, {many_ms[words] / few_ms[words]:.2f} x",
            "<= 5 ms, < 1.5 x",
            many_ms[words] <= 5 and many_ms[words] / few_ms[words] < 1.5,
        )
        for words in SCOPES
    ]
    through = Figure(
        f"the same of the network through HTTP, its audit row flushed, {name}",
        f"p50 {served_ms:.2f} ms",
        f"a flush of 4 KiB alone: {durable_ms:.2f} ms",
        "<= 5 ms",
        served_ms <= 5,
    )
    return [*pages, through]


def _median_page_ms(database: Database, scope: Scope) -> float:
    def page() -> None:
        with database.reading() as connection:
            assert len(read_page(connection, scope=scope, limit=50, after=None)) == 50

    for _ in range(10):  # PostgreSQL plans a statement anew the first five times
        page()
    return 1000 * statistics.median(seconds(page) for _ in range(N_ROUNDS))


def _median_answer_ms(home: Path, place: Path | str) -> tuple[float, float]:
    models = home.parent / "models"
    write_tiny_artifact(models)
    more = {} if isinstance(place, Path) else {"FIRSTREAD_DATABASE_URL": place}
    log = home.parent / "log"
    with started("serve", "--models", str(models), home=home, log=log, **more) as program:
        parts = urlsplit(program.address)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)

        def ask() -> None:
            connection.request("GET", "/api/v1/worklist?limit=50")
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()
            assert b"study" in answer.read()

        for _ in range(10):
            ask()
        asked = 1000 * statistics.median(seconds(ask) for _ in range(N_ROUNDS))
        flushed = 1000 * statistics.median(seconds(lambda: _flush(home / "flushed")) for _ in range(N_ROUNDS))
        connection.close()
    return asked, flushed


def _flush(file: Path) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, b"x" * 4096)
    os.fsync(descriptor)
    os.close(descriptor)
