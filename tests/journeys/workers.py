"""Runs a service and workers beside it on one PostgreSQL database, as processes of their own."""

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import func, select

from serving.store.database import Database, open_existing
from serving.store.tables import scores, studies
from tests.journeys.process import PATIENCE_S, ROOT, Program, command, environment, started

_NAMED = re.compile(r"worker (\S+) scores with")


@dataclass
class WorkerProcess:
    """One `firstread worker`."""

    process: subprocess.Popen[str]
    log: Path

    @property
    def name(self) -> str:
        found = _NAMED.search(self.log.read_text(encoding="utf-8"))
        assert found is not None
        return found.group(1)

    def scoring_processes(self) -> list[psutil.Process]:
        return [
            child
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if "spawn_main" in " ".join(child.cmdline())
        ]

    def family(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *self.scoring_processes()]


@dataclass
class Fleet:
    """A service that scores nothing itself, and who scores for it."""

    program: Program
    database: Database
    folder: Path
    settings: dict[str, str]
    stack: ExitStack

    def add_worker(self, name: str, *arguments: str) -> WorkerProcess:
        return start_worker(self.stack, self.folder, name, self.settings, *arguments)

    def states(self) -> dict[str, int]:
        with self.database.reading() as connection:
            rows = connection.execute(select(studies.c.state, func.count()).group_by(studies.c.state))
            return dict(rows.all())

    def scored_by(self) -> dict[str, str | None]:
        """Give who is at each study that is being scored."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(studies.c.key, studies.c.worker).where(studies.c.state == "scoring")
            )
            return dict(rows.all())

    def n_scores(self) -> int:
        with self.database.reading() as connection:
            return connection.execute(select(func.count()).select_from(scores)).scalar_one()

    def workers(self) -> dict[str, Any]:
        found = self.program.get("/api/v1/operations/workers")["workers"]
        return {one["id"]: one for one in found}


def start_worker(
    stack: ExitStack, folder: Path, name: str, settings: Mapping[str, str], *arguments: str
) -> WorkerProcess:
    """Start a worker with a home of its own, and wait until it takes jobs; it ends with the stack."""
    log = folder / f"{name}.log"
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command("worker", *arguments),
            cwd=ROOT,
            env=environment(folder / name, **settings),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    stack.callback(_end, process)
    wait_until(lambda: _NAMED.search(log.read_text(encoding="utf-8")), lambda: log.read_text("utf-8"))
    return WorkerProcess(process, log)


@contextmanager
def fleet(folder: Path, address: str, models: Path) -> Iterator[Fleet]:
    """Run a service without scoring processes on a PostgreSQL database."""
    settings = {
        "FIRSTREAD_DATABASE_URL": address,
        "FIRSTREAD_OBJECTS_URL": str(folder / "objects"),
        "FIRSTREAD_MODELS": str(models),
        "FIRSTREAD_WORKERS": "1",
    }
    with ExitStack() as stack:
        serving = settings | {"FIRSTREAD_WORKERS": "0"}
        program = stack.enter_context(
            started("serve", home=folder / "home", log=folder / "serve.log", **serving)
        )
        database = open_existing(address)
        stack.callback(database.close)
        yield Fleet(program, database, folder, settings, stack)


def wait_until(condition: Callable[[], object], told: Callable[[], object] = lambda: "") -> None:
    """Wait for something that must happen, far longer than it takes."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.1)
    raise TimeoutError(str(told()))


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()
