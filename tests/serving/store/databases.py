"""Databases for tests: SQLite, and a PostgreSQL server that the tests start for themselves.

The server lives in a temporary folder and listens on a socket there alone; it goes with the tests, however
they end. Each test has a database of its own, copied from a migrated one.
"""

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from serving.store.database import open_database

Place = Path | str
"""An SQLite file, or the address of a PostgreSQL database."""

_TEMPLATE = "firstread_template"
_ACCOUNT = "postgres"

# It refuses to run as root, and must go when the tests do: it ends once its standard input is closed.
_RUN = """
"$0" -D "$1" -k "$1" -c listen_addresses='' "${@:2}" >"$1/log" 2>&1 </dev/null & server=$!
read -r _; kill -QUIT $server; wait $server
"""
# Nothing here must survive a power cut, and half a gigabyte of room is more than any test needs.
_QUICK = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")


def postgresql_programs() -> Path | None:
    """Give the folder of the newest server's programs, None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    if found:
        return found[-1].parent
    named = shutil.which("initdb")
    return None if named is None else Path(named).resolve().parent


@dataclass
class PostgresServer:
    """A server of one's own; it can be stopped and started again."""

    programs: Path
    folder: Path
    settings: tuple[str, ...] = _QUICK
    _process: "subprocess.Popen[bytes] | None" = None
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def address(self, name: str) -> str:
        """Give the address of a database."""
        return f"postgresql://{_ACCOUNT}@/{name}?host={self.folder}"

    def prepare(self) -> None:
        """Make the files of the server."""
        if os.geteuid() == 0:
            shutil.chown(self.folder, _ACCOUNT)
        done = self._run(
            "initdb",
            "-D",
            self.folder,
            "-U",
            _ACCOUNT,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        )
        assert done.returncode == 0, done.stdout

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = [part for setting in self.settings for part in ("-c", setting)]
        self._process = subprocess.Popen(
            ["bash", "-c", _RUN, str(self.programs / "postgres"), str(self.folder), *options],
            stdin=subprocess.PIPE,
            user=_user(),
            cwd=self.folder,
        )
        ready = self._run("pg_isready", "-h", self.folder, "-d", "postgres", "-t", "0")
        while ready.returncode != 0:
            assert self._process.poll() is None, (self.folder / "log").read_text()
            ready = self._run("pg_isready", "-h", self.folder, "-d", "postgres", "-t", "1")

    def stop(self) -> None:
        """Stop it at once, as a crash would, and wait until it is gone."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def new_database(self, template: str = "template0") -> str:
        """Make a database and give its address."""
        name = f"test_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.address(name)

    def execute(self, statement: str) -> None:
        """Run one statement outside of any test's database."""
        with psycopg.connect(self.address("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _run(self, program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.programs / program), *map(str, arguments)],
            user=_user(),
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def _user() -> str | None:
    return _ACCOUNT if os.geteuid() == 0 else None


@contextmanager
def postgres_server(*settings: str) -> Iterator[PostgresServer]:
    """Run a server with an empty cluster, or skip the test where there is none to run."""
    programs = postgresql_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql (make test does so as root)")
    # A socket's path may have 107 characters, which a test's own folder can exceed.
    with tempfile.TemporaryDirectory(prefix="firstread-pg-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(programs, Path(folder), settings or _QUICK)
        server.prepare()
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgresServer]:
    """Give the server that all tests share; none stops it."""
    with postgres_server() as server:
        server.execute(f"CREATE DATABASE {_TEMPLATE}")
        open_database(server.address(_TEMPLATE)).close()
        yield server


@pytest.fixture
def postgresql_address(postgresql: PostgresServer) -> Iterator[str]:
    """Give the address of a migrated PostgreSQL database of the test's own."""
    address = postgresql.new_database(_TEMPLATE)
    yield address
    postgresql.execute(f"DROP DATABASE {_name(address)} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Give the place of a database, once of each kind."""
    if request.param == "sqlite":
        return tmp_path / "test.sqlite"
    address: str = request.getfixturevalue("postgresql_address")
    return address


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Give the place of a database in which there is nothing, once of each kind."""
    if request.param == "sqlite":
        yield tmp_path / "test.sqlite"
        return
    server: PostgresServer = request.getfixturevalue("postgresql")
    address = server.new_database()
    yield address
    server.execute(f"DROP DATABASE {_name(address)} WITH (FORCE)")


def _name(address: str) -> str:
    return address.partition("@/")[2].partition("?")[0]
