"""A PostgreSQL server that is killed and started again, and whose disk is told to keep what it says."""

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.journeys.kills.upkeep import Kept
from tests.serving.store.databases import PostgresServer, postgresql_programs

NAME = "firstread"


@contextmanager
def kept_postgresql(log: Path) -> Iterator[tuple[str, Kept]]:
    """Run a server with one empty database; gives its address and what keeps it alive."""
    programs = postgresql_programs()
    if programs is None:
        raise OSError("there is no PostgreSQL server: apt-get install postgresql")
    # A socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="firstread-pg-", ignore_cleanup_errors=True) as place:
        server = PostgresServer(programs, Path(place))
        server.prepare()
        kept = Kept(
            "database",
            [str(programs / "postgres"), "-D", place, "-k", place, "-c", "listen_addresses="],
            environment={"LC_ALL": "C.UTF-8"},
            log=log,
            user="postgres" if os.geteuid() == 0 else None,
            folder=Path(place),
        )
        kept.start()
        try:
            _wait(programs, place)
            server.execute(f"CREATE DATABASE {NAME}")
            yield server.address(NAME), kept
        finally:
            kept.stop()


def _wait(programs: Path, place: str) -> None:
    for _ in range(60):
        asked = [str(programs / "pg_isready"), "-q", "-h", place, "-d", "postgres", "-t", "1"]
        if subprocess.run(asked, check=False).returncode == 0:
            return
    raise TimeoutError("PostgreSQL does not start")
