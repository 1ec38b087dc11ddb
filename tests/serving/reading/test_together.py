"""Those who ask at the same moment are answered together, each with their own answer."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from serving.reading.together import MOST, Together


class Doubling:
    """Doubles numbers; the first batch waits until the test lets it go."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.has_begun = threading.Event()
        self.may_go_on = threading.Event()

    def __call__(self, numbers: Sequence[int]) -> list[int | BaseException]:
        self.batches.append(list(numbers))
        self.has_begun.set()
        assert self.may_go_on.wait(60)
        return [ValueError(f"{number} is odd") if number % 2 else 2 * number for number in numbers]


def _ask(together: Together[int, int], number: int) -> int | str:
    try:
        return together.ask(number)
    except ValueError as error:
        return str(error)


def test_who_comes_while_others_are_answered_is_answered_with_those_who_wait() -> None:
    work = Doubling()
    together = Together[int, int](work)
    numbers = range(1, 41)
    with ThreadPoolExecutor(len(numbers) + 1) as threads:
        first = threads.submit(_ask, together, 0)
        assert work.has_begun.wait(60)
        others = [threads.submit(_ask, together, number) for number in numbers]
        while len(together._waiting) < len(numbers):
            pass
        work.may_go_on.set()
        assert first.result(60) == 0
        expected = [f"{number} is odd" if number % 2 else 2 * number for number in numbers]
        assert [one.result(60) for one in others] == expected
    assert [len(batch) for batch in work.batches] == [1, len(numbers)]


def test_no_more_are_answered_together_than_the_first_can_wait_for() -> None:
    work = Doubling()
    together = Together[int, int](work)
    with ThreadPoolExecutor(2 * MOST) as threads:
        asked = [threads.submit(_ask, together, 2 * number) for number in range(2 * MOST)]
        work.may_go_on.set()
        assert [one.result(60) for one in asked] == [4 * number for number in range(2 * MOST)]
    assert max(len(batch) for batch in work.batches) <= MOST


def test_what_goes_wrong_with_the_work_is_told_to_all_and_the_next_are_answered() -> None:
    attempts: list[int] = []

    def work(numbers: Sequence[int]) -> list[int | BaseException]:
        attempts.append(len(numbers))
        if len(attempts) == 1:
            raise OSError("the database is away")
        return list(numbers)

    together = Together[int, int](work)
    with pytest.raises(OSError, match="away"):
        together.ask(1)
    assert together.ask(2) == 2
