"""Scores studies as they are found, in this process where they are few, else in a pool of processes."""

import queue
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from data.study import Study
from models.registry import Registry
from serving.scoring.pool import ScoringPool, usable_cores
from serving.scoring.result import StudyScore
from serving.scoring.scorer import Scorer

# A process takes about a second to start: the time of some 60 frames.
FEW_FRAMES = 60

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
        Processes; 1 stays in this one. None takes one a core, or none where the frames are few.
    """
    items = iter(found)
    n_workers = jobs or usable_cores()
    if jobs is None and n_workers > 1:
        first = list(islice(items, FEW_FRAMES))
        items = chain(first, items)
        frame_counts = [_n_frames(study) for _, study in first if study is not None]
        if len(frame_counts) < 2 or sum(frame_counts) < FEW_FRAMES:
            n_workers = 1
    if n_workers == 1:
        scorer = Scorer(registry, providers=providers)
        for item, study in items:
            yield item, None if study is None else scorer.score(study, model)
        return
    with ScoringPool(folders, workers=n_workers, providers=providers) as pool:
        yield from _score_in_pool(items, pool, model)


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


def _n_frames(study: Study) -> int:
    return sum(len(series.frames) for series in study.series)
