"""Whom a kill hits: the server, a scoring process, a worker, the database."""

import random
from collections.abc import Callable
from dataclasses import dataclass

import psutil

from tests.journeys.kills.upkeep import Kept, kill_family


@dataclass(frozen=True)
class Victim:
    """One kind of process; `strike` kills one of it with -9, and says whether there was one."""

    name: str
    weight: float
    strike: Callable[[random.Random], bool]


def program(name: str, kept: list[Kept], *, weight: float) -> Victim:
    """One of the programs of a kind alone, not what it started: that must notice by itself."""

    def strike(chance: random.Random) -> bool:
        process = chance.choice(kept).process
        return process is not None and _killed(process)

    return Victim(name, weight, strike)


def scoring_process(parents: list[Kept], *, weight: float) -> Victim:
    """One of the processes in which models run."""

    def strike(chance: random.Random) -> bool:
        running = [child for parent in parents for child in scoring_processes(parent)]
        return bool(running) and _killed(chance.choice(running))

    return Victim("scoring process", weight, strike)


def whole_database(kept: Kept, *, weight: float) -> Victim:
    """The database's server with all its processes, as when its machine fails."""

    def strike(_chance: random.Random) -> bool:
        process = kept.process
        if process is None:
            return False
        kill_family(process)
        return True

    return Victim("database", weight, strike)


def database_backend(kept: Kept, *, weight: float) -> Victim:
    """One process of the database's server, which then ends all connections and recovers by itself."""

    def strike(chance: random.Random) -> bool:
        process = kept.process
        children = _children(process) if process is not None else []
        return bool(children) and _killed(chance.choice(children))

    return Victim("database backend", weight, strike)


def scoring_processes(parent: Kept) -> list[psutil.Process]:
    """Give the processes in which a program's models run."""
    process = parent.process
    found = []
    for child in _children(process) if process is not None else []:
        try:
            words = " ".join(child.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if "multiprocessing" in words and "spawn_main" in words:
            found.append(child)
    return found


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _killed(process: psutil.Process) -> bool:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return False
    return True
