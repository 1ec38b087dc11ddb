"""Where settings stand besides the environment: one TOML file, files of secrets, systemd's credentials.

The environment comes before all of them, and a file of one secret (``FIRSTREAD_DATABASE_URL_FILE``, or
``firstread.database_url`` in ``$CREDENTIALS_DIRECTORY``) before the TOML file, ``FIRSTREAD_CONFIG``.
In the file a setting has its own name, or its table's and its own: ``objects_url``, or ``url`` in
``[objects]``. What is not a setting is refused with its line and the nearest name: a typing error must not
leave a service with a default nobody chose.
"""

import difflib
import os
import re
import tomllib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from serving.errors import StartError

PREFIX = "FIRSTREAD_"
CONFIG_VARIABLE = "FIRSTREAD_CONFIG"
CREDENTIALS_VARIABLE = "CREDENTIALS_DIRECTORY"

# Variables of ours that are no settings.
NO_SETTINGS = frozenset({CONFIG_VARIABLE})

_MOST_OF_A_SECRET = 64 * 1024
_TABLE = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+))*)\s*=""")


@dataclass(frozen=True, slots=True)
class Given:
    """A value and where it was found: a file and its line, or the file of a secret."""

    value: object
    origin: str


def given_elsewhere(known: Collection[str], environ: Mapping[str, str] | None = None) -> dict[str, Given]:
    """Give the settings that stand in files and not in the environment.

    Parameters
    ----------
    known : collection of str
        Names of all settings.
    environ : mapping or None
        None: that of this process.

    Raises
    ------
    StartError
        If a file cannot be read, holds what is no setting, or a setting is given in two ways at once.
    """
    environ = os.environ if environ is None else environ
    found: dict[str, Given] = {}
    file = environ.get(CONFIG_VARIABLE)
    if file:
        found |= read_file(Path(file), known)
    found |= dict(_credentials(known, environ))
    for name in known:
        variable = f"{PREFIX}{name.upper()}"
        if f"{name}_file" in known or not environ.get(f"{variable}_FILE"):
            continue
        if variable in environ:
            raise StartError(f"give {variable} or {variable}_FILE, not both.")
        path = Path(environ[f"{variable}_FILE"])
        found[name] = Given(_secret(path, f"{variable}_FILE"), str(path))
    return {name: given for name, given in found.items() if f"{PREFIX}{name.upper()}" not in environ}


def read_file(file: Path, known: Collection[str]) -> dict[str, Given]:
    """Read a TOML file of settings.

    Raises
    ------
    StartError
        If it cannot be read or holds what is no setting; names the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise StartError(f"{CONFIG_VARIABLE} {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise StartError(f"{file} is not written in UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise StartError(f"{file} is no TOML: {error}.") from error
    line_of = _lines(text)
    found: dict[str, Given] = {}
    for path, value in _flat(content):
        name = "_".join(path).replace("-", "_")
        origin = f"{file}:{line_of.get(name, 1)}"
        if name not in known:
            raise StartError(f"{origin}: there is no setting {'.'.join(path)}{nearest(name, known)}.")
        if name in found:
            raise StartError(f"{origin}: {name} stands there twice, see {found[name].origin}.")
        found[name] = Given(value, origin)
    return found


def unknown_variables(known: Collection[str], environ: Mapping[str, str]) -> list[str]:
    """Say which variables of our prefix are no settings."""
    accepted = {f"{PREFIX}{name.upper()}{end}" for name in known for end in ("", "_FILE")} | NO_SETTINGS
    return [
        f"{variable} is no setting{nearest(variable, accepted)}."
        for variable in sorted(environ)
        if variable.upper().startswith(PREFIX) and variable.upper() not in accepted
    ]


def nearest(name: str, known: Collection[str]) -> str:
    """Ask whether the nearest known name was meant.

    Examples
    --------
    >>> nearest("worker", ["workers", "port"])
    '; is workers meant?'
    >>> nearest("xyz", ["workers", "port"])
    ''
    """
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f"; is {close[0]} meant?" if close else ""


def _flat(
    content: Mapping[str, object], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], object]]:
    for key, value in content.items():
        if isinstance(value, dict):
            yield from _flat(value, (*above, key))
        else:
            yield (*above, key), value


def _lines(text: str) -> dict[str, int]:
    """Find the line of each key; one in an array or a long string may be found too, which harms nobody."""
    found: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), start=1):
        header = _TABLE.match(line)
        key = _KEY.match(line)
        if header:
            table = header[1].strip() + "."
        elif key:
            name = re.sub(r"[\s\"']", "", table + key[1]).replace(".", "_").replace("-", "_")
            found.setdefault(name, number)
    return found


def _credentials(known: Collection[str], environ: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    folder = environ.get(CREDENTIALS_VARIABLE)
    for name in known if folder else ():
        path = Path(str(folder)) / f"firstread.{name}"
        if path.is_file():
            yield name, Given(_secret(path, CREDENTIALS_VARIABLE), str(path))


def _secret(path: Path, variable: str) -> str:
    try:
        content = path.read_bytes()[: _MOST_OF_A_SECRET + 1]
        text = content.decode("utf-8").strip()
    except OSError as error:
        raise StartError(f"{variable} {path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise StartError(f"{variable} {path} holds no text.") from error
    if not text or len(content) > _MOST_OF_A_SECRET:
        raise StartError(f"{variable} {path} is empty or longer than a secret.")
    return text
