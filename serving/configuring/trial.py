"""Tries what can be tried of the settings, one line each; makes nothing that was not there."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from models.registry import Registry
from serving.errors import ServiceError, StartError
from serving.quarantine.admission import read_admission
from serving.settings import Settings
from serving.settings_file import unknown_variables
from serving.store.database import open_existing
from serving.store.opening import open_objects
from serving.worklist.policy import PolicyError, read_policy


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one trial."""

    what: str
    is_good: bool
    detail: str


def tried(settings: Settings, origins: Mapping[str, str], environ: Mapping[str, str]) -> Iterator[Tried]:
    """Try everything; a trial that fails does not keep the others from being tried."""
    for line in unknown_variables(Settings.model_fields, environ):
        yield Tried("environment", is_good=False, detail=line)
    yield from _paths(settings, origins)
    is_at_work = _is_at_work(settings)
    yield _tried("home", lambda: _home(settings.home, is_at_work=is_at_work))
    yield _tried("database", lambda: _database(settings))
    yield _tried("objects", lambda: _objects(settings))
    yield _tried("models", lambda: _models(settings))
    yield _tried("policy", lambda: read_policy(settings.policy).version)
    yield _tried("admission", lambda: _admission(settings))
    yield _tried("port", lambda: _port(settings, is_at_work=is_at_work))


def _tried(what: str, attempt: Callable[[], str]) -> Tried:
    try:
        return Tried(what, is_good=True, detail=attempt())
    except (StartError, PolicyError) as error:
        return Tried(what, is_good=False, detail=str(error))
    except ServiceError as error:
        return Tried(what, is_good=False, detail=error.detail)
    except OSError as error:
        return Tried(what, is_good=False, detail=f"{error.filename or ''} {error.strerror}".strip())


def _paths(settings: Settings, origins: Mapping[str, str]) -> Iterator[Tried]:
    made_if_absent = {"home", "audit_head"}
    for name in Settings.model_fields:
        value = getattr(settings, name)
        for path in value if isinstance(value, tuple) else (value,):
            if not isinstance(path, Path) or name in made_if_absent or name not in origins:
                continue
            if not os.access(path, os.R_OK):
                problem = "cannot be read" if path.exists() else "does not exist"
                yield Tried(name, is_good=False, detail=f"{origins[name]}: {path} {problem}")


def _home(home: Path, *, is_at_work: bool) -> str:
    existing = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise StartError(f"{existing} cannot be written by this account")
    if existing != home:
        return f"{home} will be made"
    return f"{home}, a service works on it" if is_at_work else str(home)


def _is_at_work(settings: Settings) -> bool:
    # With PostgreSQL each process of a home has a lock of its own (serving.hosting.home).
    for file in (settings.lock_file, *settings.spool_folder.glob("*.lock")):
        if not file.exists():
            continue
        lock = FileLock(file)
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):
            return True
        lock.release()
    return False


def _database(settings: Settings) -> str:
    place = settings.database
    if isinstance(place, Path) and not place.is_file():
        return f"SQLite, {place} will be made"
    try:
        database = open_existing(place)
    except StartError as error:
        if "(schema None)" in str(error):
            return "is empty: the first start makes its tables"
        raise
    try:
        with database.reading() as connection:
            server = connection.engine.dialect
            version = ".".join(str(part) for part in server.server_version_info or ())
            return f"{server.name} {version}, of this version"
    finally:
        database.close()


def _objects(settings: Settings) -> str:
    if not settings.objects_bucket and not settings.objects_folder.exists():
        return _home(settings.objects_folder, is_at_work=False)
    with tempfile.TemporaryDirectory() as scratch:  # a bucket's cache is made in the home, which may not be
        elsewhere = {"home": Path(scratch)} if settings.objects_bucket else {}
        objects = open_objects(settings.model_copy(update=elsewhere))
        objects.check_writable()
        return f"{objects.place}, writable"


def _models(settings: Settings) -> str:
    registry = Registry(settings.model_folders)
    labels = [artifact.label for artifact in registry.artifacts()]
    if registry.refused:
        raise StartError("; ".join(str(error) for error in registry.refused))
    return ", ".join(labels) or "none: studies are queued unscored"


def _admission(settings: Settings) -> str:
    demands = [one for some in read_admission(settings.admission).demands.values() for one in some]
    return f"a patient is demanded by {', '.join(demands)}" if demands else "no patient is demanded"


def _port(settings: Settings, *, is_at_work: bool) -> str:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            if is_at_work:
                return f"{settings.port} on {settings.host} is taken, as by the service at work"
            raise StartError(
                f"{settings.port} on {settings.host} cannot be used: {error.strerror}"
            ) from error
    return f"{settings.port} on {settings.host} is free"
