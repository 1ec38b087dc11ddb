"""The top 50 of the queue at the database, with 10,000 and with 1,000,000 waiting studies."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sqlalchemy import insert

from serving.store.database import Database, open_database
from serving.store.queue import read_page
from serving.store.sites import LOCAL_SITE, ensure_local_site
from serving.store.tables import queue_entries, studies
from serving.store.tenancy import Scope
from tests.benchmarks.measuring import Figure, seconds

SIZES = (10_000, 1_000_000)
N_ROUNDS = 200
CHUNK = 20_000


def measure() -> list[Figure]:
    """Fill a database step by step and time the same page at each size."""
    median_ms: dict[int, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(Path(folder) / "queue.sqlite")
        try:
            with database.writing() as connection:
                ensure_local_site(connection)
            n_before = 0
            for n_studies in SIZES:
                _fill(database, range(n_before + 1, n_studies + 1))
                n_before = n_studies
                median_ms[n_studies] = 1000 * _median_page_s(database)
        finally:
            database.close()
    few, many = (median_ms[size] for size in SIZES)
    return [
        Figure(
            "top 50 of 1,000,000 waiting studies, all columns of the page",
            f"{many:.2f} ms",
            f"of 10,000: {few:.2f} ms, {many / few:.2f} x",
            "<= 5 ms, < 1.5 x",
            many <= 5 and many / few < 1.5,
        )
    ]


def _median_page_s(database: Database) -> float:
    def page() -> None:
        with database.reading() as connection:
            assert len(read_page(connection, scope=Scope.of(LOCAL_SITE), limit=50, after=None)) == 50

    page()
    return statistics.median(seconds(page) for _ in range(N_ROUNDS))


def _fill(database: Database, keys: range) -> None:
    for chunk in _chunks(keys):
        due_at_us = np.random.default_rng(chunk.start).integers(0, 10**15, len(chunk)).tolist()
        with database.writing() as connection:
            connection.execute(insert(studies), [_study(key) for key in chunk])
            connection.execute(
                insert(queue_entries),
                [_entry(key, due) for key, due in zip(chunk, due_at_us, strict=True)],
            )


def _chunks(keys: range) -> Iterator[range]:
    return (keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK))


def _study(key: int) -> dict[str, object]:
    return {
        "id": key,
        "site_id": LOCAL_SITE,
        "key": f"{key:032x}",
        "uid": f"2.25.{key}",
        "accession": "",
        "description": "",
        "modality": "DMS",
        "received_at": key,
        "priority": "routine",
        "state": "scored",
        "revision": 1,
        "n_attempts": 1,
        "n_images": 1,
    }


def _entry(key: int, due_at_us: int) -> dict[str, object]:
    return {
        "study_id": key,
        "site_id": LOCAL_SITE,
        "is_waiting": True,
        "due_at": due_at_us,
        "tier": "routine",
        "reason_en": "naevus 93 %: read within 24 h",
        "reason_zh": "色素痣 93 %：24 小时内阅片",
        "policy_version": "1",
    }
