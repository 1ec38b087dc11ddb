"""The limit on guessing."""

from serving.identity.guesses import Guesses


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_an_address_that_failed_too_often_is_not_heard_until_its_failures_are_old() -> None:
    clock = Clock()
    guesses = Guesses(most=3, window_s=60.0, clock=clock)
    for _ in range(3):
        assert guesses.wait_s("a") == 0.0
        guesses.failed("a")
        clock.now += 10
    assert guesses.wait_s("a") == 30.0
    assert guesses.wait_s("b") == 0.0
    clock.now += 30
    assert guesses.wait_s("a") == 0.0
    guesses.failed("a")
    assert guesses.wait_s("a") == 10.0


def test_a_flood_of_addresses_takes_bounded_memory_and_keeps_the_newest() -> None:
    guesses = Guesses(most=1, window_s=60.0, clock=Clock())
    for number in range(12_000):
        guesses.failed(str(number))
    assert len(guesses._failures) == 10_000
    assert guesses.wait_s("11999") == 60.0
    assert guesses.wait_s("0") == 0.0
