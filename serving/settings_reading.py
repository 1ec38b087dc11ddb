"""Reads the settings from all their places, and says of each where it stands."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from pydantic import SecretStr, ValidationError

from serving.errors import StartError
from serving.settings import Settings
from serving.settings_file import PREFIX, given_elsewhere

_HIDDEN = "********"

# Addresses that may hold a password; what is wrong with them is said without them.
_ADDRESSES = frozenset({"objects_url", "database_url"})
_PASSWORD = re.compile(r"(?i)(password|passwd|pwd|secret|token|key)=[^&\s]*")


@dataclass(frozen=True, slots=True)
class ReadSettings:
    """The settings, and where each stands that is not a default."""

    settings: Settings
    origins: Mapping[str, str]


def read_settings(**given: object) -> Settings:
    """Read the settings from environment and files, with what the command line gives before them.

    Raises
    ------
    StartError
        If a value is not one the setting takes; names the setting and where it stands.
    """
    return read_with_origins(**given).settings


def read_with_origins(**given: object) -> ReadSettings:
    """Read the settings as :func:`read_settings` does, and say where each stands.

    Raises
    ------
    StartError
        The same.
    """
    on_line = {name: value for name, value in given.items() if value is not None}
    elsewhere = given_elsewhere(Settings.model_fields)
    origins = {
        **{name: one.origin for name, one in elsewhere.items()},
        **{
            name: f"{PREFIX}{name.upper()}"
            for name in Settings.model_fields
            if f"{PREFIX}{name.upper()}" in os.environ
        },
    }
    origins |= {name: origins.get(name, "command line") for name in on_line}
    try:
        return ReadSettings(Settings.model_validate(on_line), origins)
    except ValidationError as error:
        raise StartError(_what_is_wrong(error, origins)) from None


def _what_is_wrong(error: ValidationError, origins: Mapping[str, str]) -> str:
    first = error.errors(include_url=False)[0]
    name = str(first["loc"][0]) if first["loc"] else ""
    problem = first["msg"].removeprefix("Value error, ")
    if not name:
        places = [
            f"{known.upper()} at {origins[known]}"
            for known in Settings.model_fields
            if ":" in origins.get(known, "") and _is_named(known, problem)
        ]
        return f"settings: {problem} ({', '.join(places)})." if places else f"settings: {problem}."
    is_said = name not in _ADDRESSES and not _is_secret(name)
    value = f" is {first['input']!r}" if is_said and len(first["loc"]) == 1 else ""
    origin = origins.get(name, "")
    place = f"{origin}: " if ":" in origin or "/" in origin else ""
    return f"{place}{PREFIX}{name.upper()}{value}: {problem}."


def _is_named(name: str, problem: str) -> bool:
    # A second name is written without what it shares with the first: FIRSTREAD_TLS_CERTIFICATE and _KEY.
    parts = name.upper().split("_")
    return any(re.search(rf"_{'_'.join(parts[start:])}\b", problem) for start in range(len(parts)))


def shown(name: str, value: object) -> str:
    """Write a setting's value for people, without what is secret in it.

    Examples
    --------
    >>> shown("database_url", "postgresql://u:pw@db/firstread?password=x")
    'postgresql://u:********@db/firstread?password=********'
    >>> shown("port", 8080), shown("oidc_client_secret", SecretStr("x"))
    ('8080', '********')
    """
    if isinstance(value, SecretStr) or (_is_secret(name) and value):
        return _HIDDEN
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in value)
    text = str(value)
    if "://" in text:
        parts = urlsplit(text)
        if parts.password:
            text = text.replace(f":{parts.password}@", f":{_HIDDEN}@", 1)
    return _PASSWORD.sub(lambda found: f"{found[1]}={_HIDDEN}", text) if name in _ADDRESSES else text


def _is_secret(name: str) -> bool:
    return "Secret" in str(Settings.model_fields[name].annotation)
