"""Says of each fault that pydantic finds in a TOML file on which line it stands, and what was meant.

The parser of the standard library keeps no line numbers, so the lines are looked through once more, and only
when something is wrong.
"""

import difflib
import re
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Place = tuple[int | str, ...]

_HEADER = re.compile(r"\s*(\[\[?)\s*([\w\-. \"']+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(r"\s*([\w\-. \"']+?)\s*=")
_LONG_TEXT = re.compile(r"\"\"\"|'''")


def tell_faults(model: type[BaseModel], text: str, faults: Iterable[ErrorDetails]) -> str:
    """Say every fault with its line: ``line 31: network.drop_pth is no key; is drop_path meant?``.

    Parameters
    ----------
    model : type of BaseModel
        What the text should be.
    text : str
        The TOML file's, which could be parsed.
    faults : iterable of ErrorDetails
        Of pydantic's ValidationError.
    """
    line_of = find_lines(text)
    return "; ".join(_tell(model, fault, line_of) for fault in faults)


def find_lines(text: str) -> dict[Place, int]:
    r"""Give the line, counted from 1, of every key and table that begins one.

    Examples
    --------
    >>> find_lines("a = 1\n[b]\nc.d = 2\n[[e]]\nf = 3\n[[e]]\nf = 4")
    {('a',): 1, ('b',): 2, ('b', 'c', 'd'): 3, ('e', 0): 4, ('e', 0, 'f'): 5, ('e', 1): 6, ('e', 1, 'f'): 7}
    """
    lines: dict[Place, int] = {}
    n_of_table: dict[Place, int] = {}
    table: Place = ()
    is_long_text = False
    for number, line in enumerate(text.splitlines(), start=1):
        was_long_text = is_long_text
        is_long_text ^= len(_LONG_TEXT.findall(line)) % 2 == 1
        if was_long_text:
            continue
        if header := _HEADER.match(line):
            table = _within_the_last(_parts(header[2]), n_of_table)
            if header[1] == "[[":
                n_of_table[table] = n_of_table.get(table, 0) + 1
                table = (*table, n_of_table[table] - 1)
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault((*table, *_parts(key[1])), number)
    return lines


def _parts(dotted: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in dotted.split("."))


def _within_the_last(names: Place, n_of_table: dict[Place, int]) -> Place:
    """Give a header's place: a table below an array of tables belongs to the array's last one so far."""
    place: Place = ()
    for depth, name in enumerate(names):
        place = (*place, name)
        if depth < len(names) - 1 and place in n_of_table:
            place = (*place, n_of_table[place] - 1)
    return place


def _tell(model: type[BaseModel], fault: ErrorDetails, line_of: dict[Place, int]) -> str:
    place = fault["loc"]
    known_part = place
    while known_part and known_part not in line_of:
        known_part = known_part[:-1]
    where = f"line {line_of[known_part]}: " if known_part else ""
    key = ".".join(str(part) for part in place) or "the recipe"
    if fault["type"] == "extra_forbidden":
        return f"{where}{key} is no key of a recipe{_meant(model, place)}"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{where}{key}: {message[:1].lower()}{message[1:]}"


def _meant(model: type[BaseModel], place: Place) -> str:
    known = _keys_at(model, place[:-1])
    near = difflib.get_close_matches(str(place[-1]), known, n=1)
    if near:
        return f"; is {near[0]} meant?"
    return f"; known here are {', '.join(known)}" if known else ""


def _keys_at(model: type[BaseModel], place: Place) -> list[str]:
    for part in place:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = None if field is None else _model_in(field.annotation)
        if inner is None:
            return []
        model = inner
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 (whatever a field is annotated with)
    """Give the model that a field holds, by itself, in a tuple or as one of several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for one in get_args(annotation) if (found := _model_in(one))), None)
