"""The tables of labelled sets: rows of a CSV file with their line numbers, read strictly.

Strictly means that a table is never half understood: a missing column, a row with too many or too few
cells, text in another encoding or a number that is none is an error that names the file and the line.
"""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from data.errors import ManifestError


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table; `line` counts from 1, the header's."""

    table: Path
    line: int
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def text(self, column: str, *, absent: frozenset[str] = frozenset()) -> str | None:
        """Give a cell's text, None where it is blank or one of the words for `absent`."""
        text = self.cells.get(column, "").strip()
        return None if not text or text in absent else text

    def required(self, column: str) -> str:
        """Give a cell's text; blank is an error."""
        text = self.text(column)
        if text is None:
            raise self.error(f"{column} is blank")
        return text

    def number(self, column: str, *, low: float, high: float) -> float | None:
        """Give a cell's number, None where it is blank; it must lie in [low, high]."""
        text = self.text(column)
        if text is None:
            return None
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not low <= value <= high:
            raise self.error(f"{column} is {text!r}, expected a number from {low:g} to {high:g}")
        return value

    def flag(self, column: str) -> bool:
        """Give a cell that must be 0 or 1."""
        text = self.cells[column].strip()
        if text not in {"0", "1"}:
            raise self.error(f"{column} is {text!r}, expected 0 or 1")
        return text == "1"

    def choice(self, column: str, choices: Mapping[str, str]) -> str:
        """Give what `choices` calls the cell's text, which must be one of its keys."""
        text = self.required(column)
        if text not in choices:
            raise self.error(f"{column} is {text!r}, expected one of {', '.join(choices)}")
        return choices[text]

    @property
    def place(self) -> str:
        """The table and line, as errors name them."""
        return f"{self.table}, line {self.line}"

    def error(self, problem: str) -> ManifestError:
        """Make an error that names this row."""
        return ManifestError(self.table, problem, row=self.line)


def read_rows(table: Path, *, columns: tuple[str, ...], encoding: str = "utf-8") -> Iterator[Row]:
    """Yield the rows of a table that has at least these columns; blank lines are passed over.

    A byte order mark is taken off UTF-8.

    Raises
    ------
    ManifestError
        If the table is missing, lacks a column, is in another encoding or has a row that does not
        fit its header.
    """
    codec = "utf-8-sig" if encoding.lower() in {"utf-8", "utf8"} else encoding
    try:
        with table.open(encoding=codec, newline="") as text:
            yield from _fitted_rows(table, text, columns)
    except FileNotFoundError:
        raise ManifestError(table, "does not exist") from None
    except UnicodeDecodeError:
        line = _first_line_not_in(table, codec)
        raise ManifestError(
            table, f"is not {encoding} text; save it as UTF-8, or name its encoding (e.g. gb18030)", row=line
        ) from None
    except LookupError:
        raise ManifestError(table, f"cannot be read as {encoding!r}, which is no encoding") from None
    except OSError as failure:
        raise ManifestError(table, f"cannot be read: {failure.strerror}") from failure


def _fitted_rows(table: Path, text: TextIO, columns: tuple[str, ...]) -> Iterator[Row]:
    lines = csv.reader(text, strict=True)
    begin = 1
    try:
        header = [name.strip() for name in next(lines, [])]
        _check_header(table, header, columns)
        begin = lines.line_num + 1
        for cells in lines:
            if cells and len(cells) != len(header):
                problem = f"has {len(cells)} cells, but the header has {len(header)}"
                raise ManifestError(table, problem, row=begin)
            if cells:
                yield Row(table, begin, dict(zip(header, cells, strict=True)))
            begin = lines.line_num + 1
    except csv.Error as failure:
        raise ManifestError(table, f"is not CSV: {failure}", row=begin) from failure


def _check_header(table: Path, header: list[str], columns: tuple[str, ...]) -> None:
    missing = [column for column in columns if column not in header]
    if missing:
        found = ", ".join(header) or "nothing"
        raise ManifestError(table, f"lacks the column {', '.join(missing)}; found {found}", row=1)
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ManifestError(table, f"has the column {', '.join(twice)} more than once", row=1)


def _first_line_not_in(table: Path, codec: str) -> int | None:
    with table.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                line.decode(codec)
            except UnicodeDecodeError:
                return number
    return None
