"""Scores studies as they are found: in this process at first, in a pool once that pays."""

import queue
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import chain, islice
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from data.study import Study
from models.registry import Registry
from serving.scoring.pool import ScoringPool, usable_cores
from serving.scoring.result import StudyScore
from serving.scoring.scorer import Scorer

# Processes are started once this long was spent scoring here, about what starting them costs: so the wait is
# never twice what it would have been had the amount of work been known.
SECONDS_HERE = 1.0

# Studies that are looked at ahead, to tell whether enough is left.
LOOK_AHEAD = 64
SECONDS_WORTH_A_POOL = 0.5

Item = TypeVar("Item")


def score_each(
    found: Iterable[tuple[Item, Study | None]],
    *,
    registry: Registry,
    folders: Sequence[Path],
    model: str | None = None,
    providers: Sequence[str] | None = None,
    jobs: int | None = None,
) -> Iterator[tuple[Item, StudyScore | None]]:
    """Yield each item with its study's score as soon as that is there.

    Parameters
    ----------
    found : iterable of (item, Study or None)
        What the caller wants back, and the study to score; without a study it comes back at once. It is read
        as scoring goes on, so the first score does not wait for the last file.
    registry, folders : Registry, sequence of Path
        The models and where they lie (a process reads them again).
    model : str or None
        ``NAME`` or ``NAME@VERSION``; None takes the one in charge of each study.
    providers : sequence of str or None
        Execution providers asked for.
    jobs : int or None
        Processes; 1 stays in this one. None begins here and goes on with one a core if the work is long.
    """
    items = iter(found)
    n_workers = jobs or usable_cores()
    if jobs is None or n_workers == 1:
        scorer = Scorer(registry, providers=providers)
        ahead: deque[tuple[Item, Study | None]] = deque()
        started, n_done = perf_counter(), 0
        while True:
            ahead.extend(islice(items, 0 if ahead else LOOK_AHEAD))
            if not ahead:
                return
            if n_workers > 1 and _is_worth_a_pool(ahead, n_done, perf_counter() - started):
                break
            item, study = ahead.popleft()
            yield item, None if study is None else scorer.score(study, model)
            n_done += _n_frames(study)
        items = chain(ahead, items)
    with ScoringPool(folders, workers=n_workers, providers=providers) as pool:
        yield from _score_in_pool(items, pool, model)


def _is_worth_a_pool(ahead: Collection[tuple[object, Study | None]], n_done: int, seconds: float) -> bool:
    if seconds < SECONDS_HERE or len(ahead) < 2:
        return False
    n_ahead = sum(_n_frames(study) for _, study in ahead)
    return n_ahead * seconds > SECONDS_WORTH_A_POOL * n_done


def _score_in_pool(
    items: Iterable[tuple[Item, Study | None]], pool: ScoringPool, model: str | None
) -> Iterator[tuple[Item, StudyScore | None]]:
    done: queue.SimpleQueue[tuple[Item, Future[StudyScore]]] = queue.SimpleQueue()
    n_waiting = 0
    for item, study in items:
        if study is None:
            yield item, None
        else:
            _submit(study, item, pool, model, done)
            n_waiting += 1
        while not done.empty():
            finished, future = done.get()
            n_waiting -= 1
            yield finished, future.result()
    for _ in range(n_waiting):
        finished, future = done.get()
        yield finished, future.result()


def _submit(
    study: Study,
    item: Item,
    pool: ScoringPool,
    model: str | None,
    done: queue.SimpleQueue[tuple[Item, Future[StudyScore]]],
) -> None:
    pool.submit(study, model).add_done_callback(lambda future: done.put((item, future)))


def _n_frames(study: Study | None) -> int:
    return 0 if study is None else sum(len(series.frames) for series in study.series)
