"""Tables and figures as the card's Markdown writes them."""

from collections.abc import Sequence
from typing import Literal

from models.card import Interval


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """Give a table.

    Examples
    --------
    >>> print(table(("part", "images"), [("train", "3")]))
    | part | images |
    | --- | --- |
    | train | 3 |
    """
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(interval: Interval, *, sign: Literal["", "+"] = "") -> str:
    """Give a figure with its 95 % interval; a difference with a sign before each number.

    Examples
    --------
    >>> figure(Interval(value=0.5, low=0.25, high=0.75, n=8))
    '0.500 (0.250 to 0.750)'
    >>> figure(Interval(value=0.5, low=-0.25, high=0.75, n=8), sign="+")
    '+0.500 (-0.250 to +0.750)'
    """
    return f"{interval.value:{sign}.3f} ({interval.low:{sign}.3f} to {interval.high:{sign}.3f})"
