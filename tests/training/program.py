"""Runs `firstread-train` in this process, as its users call it."""

from collections.abc import Callable
from typing import NamedTuple

import pytest

from training.cli import main


class Said(NamedTuple):
    """What a program answered."""

    status: int
    out: str
    err: str


Program = Callable[..., Said]


def program_in(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Program:
    """Give what runs `firstread-train` with some arguments, and what it answered."""

    def run(*arguments: object) -> Said:
        monkeypatch.setattr("sys.argv", ["firstread-train", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = int(ended.code or 0)
        out, err = capfd.readouterr()
        return Said(status, out, err)

    return run
