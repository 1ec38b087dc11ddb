"""The service's figures for Prometheus: read in the background, kept for some seconds, bounded in number.

A scrape waits for fresh figures for a second at most and then gives those it has, with their age; so it is
answered while the database hangs. What grows with the database is counted so seldom that it takes a
twentieth of the time at most.
"""

import logging
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.operations.dicom import dicom_metrics
from serving.operations.service import Operations
from serving.operations.watch import Watch
from serving.store.figures import (
    QueueFigure,
    audited_since,
    connections_of,
    newest_audit_row,
    newest_score,
    object_figures,
    queue_figures,
    scored_since,
    unscored_by_reason,
)
from serving.store.quarantine import held_by_reason
from serving.store.times import now_us

log = logging.getLogger(__name__)

# Figures so young are given again.
_FRESH_S = 5.0
_SECONDS_TO_WAIT = 1.0

# Counting everything may take a twentieth of the time: every 15 s if it is quick, else seldomer.
_SECONDS_BETWEEN_COUNTS = 15.0
_REST_AFTER_COUNT = 20.0

_BUCKETS_S = (0.5, 1, 2, 5, 10, 30, 60, 300, 900, 3600, 14_400, 86_400)


@dataclass
class _Known:
    """What was read last."""

    queue: list[QueueFigure] = field(default_factory=list)
    unscored: dict[tuple[str, str], int] = field(default_factory=dict)
    quarantined: dict[tuple[str, bool], int] = field(default_factory=dict)
    studies: dict[str, int] = field(default_factory=dict)
    stuck: dict[str, int] = field(default_factory=dict)
    is_paused: bool = False
    n_live_workers: int = 0
    n_objects: int = 0
    object_bytes: int = 0
    audit_rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    newest_audit_row: int = 0
    read_at_s: float = float("-inf")
    counted_at_s: float = float("-inf")
    next_count_s: float = float("-inf")


class Figures(Collector):
    """Reads the figures when they are asked for and not fresh.

    Parameters
    ----------
    operations : Operations
        Whom the figures are about.
    registry : CollectorRegistry
        Where they join those of requests.
    clock : callable
        Gives seconds that only grow.
    """

    def __init__(
        self,
        operations: Operations,
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._operations = operations
        self._clock = clock
        self._known = _Known()
        self._turn = threading.Lock()
        self._marks: tuple[int, int] | None = None  # the newest score and audit row that were counted
        self._watch = Watch(self._read)
        registry.register(self)  # before the histogram, which is written as this one has filled it
        self._time_to_score = Histogram(
            "firstread_time_to_score_seconds",
            "From the receipt of a study to its score, of scores made since the start, by model.",
            ["model"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        build = Gauge(
            "firstread_build_info", "What runs.", ["version", "python", "provider"], registry=registry
        )
        build.labels(operations.version, sys.version.split()[0], operations.provider).set(1)
        ProcessCollector(registry=registry)

    def describe(self) -> Iterator[Metric]:
        """Name nothing beforehand: it would be read for that."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Give the figures."""
        if self._clock() - self._known.read_at_s > _FRESH_S:
            self._watch.wait(_SECONDS_TO_WAIT)
        with self._turn:
            known = self._known
            yield from self._queue(known)
            yield from self._done(known)
        yield from self._now()

    def _read(self) -> None:
        try:
            self._read_news()
            if self._clock() >= self._known.next_count_s:
                self._count()
        except self._operations.database.failures as error:
            log.warning("the figures cannot be read: %s", error)

    def _read_news(self) -> None:
        with self._operations.database.reading() as connection:
            if self._marks is None:
                self._marks = newest_score(connection), newest_audit_row(connection)
            last_score, last_row = self._marks
            scored = scored_since(connection, last_score)
            newest, rows = audited_since(connection, last_row)
        with self._turn:
            for one in scored:
                self._time_to_score.labels(one.model).observe(one.seconds)
            self._known.audit_rows.update(rows)
            self._known.newest_audit_row = newest
            self._known.read_at_s = self._clock()
            self._marks = (scored[-1].score_id if scored else last_score), newest

    def _count(self) -> None:
        started_s = self._clock()
        with self._operations.database.reading() as connection:
            queue = queue_figures(connection)
            unscored = unscored_by_reason(connection)
            quarantined = held_by_reason(connection)
            n_objects, object_bytes = object_figures(connection)
        studies = self._operations.studies_by_state()
        stuck = self._operations.stuck_by_state()
        switch = self._operations.control.switch()
        n_live_workers = len(self._operations.live_workers())
        with self._turn:
            self._known.stuck, self._known.is_paused = stuck, switch.is_paused
            self._known.n_live_workers = n_live_workers
            self._known.queue = queue
            self._known.unscored = unscored
            self._known.quarantined = quarantined
            self._known.studies = studies
            self._known.n_objects, self._known.object_bytes = n_objects, object_bytes
            self._known.counted_at_s = self._clock()
            rest_s = max(_SECONDS_BETWEEN_COUNTS, _REST_AFTER_COUNT * (self._clock() - started_s))
            self._known.next_count_s = self._clock() + rest_s

    def _queue(self, known: _Known) -> Iterator[Metric]:
        studies = GaugeMetricFamily("firstread_studies", "Studies by state.", labels=["state"])
        for state, count in sorted(known.studies.items()):
            studies.add_metric([state], count)
        yield studies
        stuck = GaugeMetricFamily(
            "firstread_stuck_studies", "Studies in one state for longer than it allows.", labels=["state"]
        )
        for state, count in sorted(known.stuck.items()):
            stuck.add_metric([state], count)
        yield stuck
        yield GaugeMetricFamily(
            "firstread_scoring_paused", "1 while scoring is paused.", value=int(known.is_paused)
        )
        yield GaugeMetricFamily("firstread_live_workers", "Workers that live.", value=known.n_live_workers)
        waiting = GaugeMetricFamily(
            "firstread_queue_studies", "Studies that wait to be read.", labels=["state", "tier"]
        )
        for one in known.queue:
            waiting.add_metric([one.state, one.tier], one.n_studies)
        yield waiting
        oldest_us = min((one.oldest_received_at_us for one in known.queue), default=None)
        unscored_us = min(
            (one.oldest_received_at_us for one in known.queue if one.state in {"received", "scoring"}),
            default=None,
        )
        oldest = GaugeMetricFamily(
            "firstread_queue_oldest_seconds", "For how long the oldest waits.", labels=["for"]
        )
        for what, since_us in (("reader", oldest_us), ("score", unscored_us)):
            oldest.add_metric([what], 0.0 if since_us is None else (now_us() - since_us) / 1e6)
        yield oldest
        unscored = GaugeMetricFamily(
            "firstread_unscored_studies", "Studies without a score.", labels=["state", "reason"]
        )
        for (state, reason), count in sorted(known.unscored.items()):
            unscored.add_metric([state, reason], count)
        yield unscored
        quarantined = GaugeMetricFamily(
            "firstread_quarantine_files", "Files that wait in the quarantine.", labels=["reason", "kept"]
        )
        for (why, is_kept), count in sorted(known.quarantined.items()):
            quarantined.add_metric([why, "yes" if is_kept else "no"], count)
        yield quarantined
        yield GaugeMetricFamily("firstread_objects", "Stored files.", value=known.n_objects)
        yield GaugeMetricFamily("firstread_object_bytes", "Bytes of stored files.", value=known.object_bytes)
        ages = GaugeMetricFamily(
            "firstread_figures_age_seconds", "How old the figures are.", labels=["figures"]
        )
        for what, at_s in (("news", known.read_at_s), ("counts", known.counted_at_s)):
            ages.add_metric([what], self._clock() - at_s)
        yield ages

    def _done(self, known: _Known) -> Iterator[Metric]:
        rows = CounterMetricFamily(
            "firstread_audit_rows", "Rows of the audit trail since the start.", labels=["action", "result"]
        )
        for (action, result), count in sorted(known.audit_rows.items()):
            rows.add_metric([action, result], count)
        yield rows
        failures = sum(
            n for (action, result), n in known.audit_rows.items() if (action, result) == ("scored", "failed")
        )
        yield CounterMetricFamily(
            "firstread_scoring_failures", "Studies that got no score, since the start.", value=failures
        )
        yield GaugeMetricFamily(
            "firstread_audit_newest_row", "Number of the newest row.", value=known.newest_audit_row
        )

    def _now(self) -> Iterator[Metric]:
        operations = self._operations
        rejected = CounterMetricFamily(
            "firstread_rejected_files", "Files refused since the start, by reason.", labels=["reason"]
        )
        for reason, count in sorted(operations.rejections().items()):
            rejected.add_metric([reason], count)
        yield rejected
        connections = GaugeMetricFamily(
            "firstread_database_connections", "Connections of the pool.", labels=["state"]
        )
        for state, count in connections_of(operations.database).items():
            connections.add_metric([state], count)
        yield connections
        free = operations.storage.free_bytes()
        if free is not None:
            yield GaugeMetricFamily(
                "firstread_disk_free_bytes", "Free on the disk of uploads and database.", value=free
            )
        models = GaugeMetricFamily("firstread_model_info", "Models that score.", labels=["model", "version"])
        for artifact in operations.models():
            models.add_metric([artifact.card.name, artifact.card.version], 1)
        yield models
        yield GaugeMetricFamily(
            "firstread_refused_models", "Models that may not score.", value=len(operations.refused_models())
        )
        yield GaugeMetricFamily(
            "firstread_scoring_processes", "Scoring processes.", value=operations.n_workers()
        )
        if operations.dicom is not None:
            yield from dicom_metrics(operations.dicom())
        yield GaugeMetricFamily(
            "firstread_up_seconds", "Seconds since the start.", value=operations.seconds_up()
        )
