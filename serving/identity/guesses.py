"""Keeps those who guess from guessing fast: so many failures an address and minute, then a pause.

It counts in the memory of one process; with several processes behind a balancer an address has as many
times the guesses. A secret of 238 bits is safe at any rate: what is limited is the work, and the rows in
the audit trail, that guessing can cause.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable

_MOST_ADDRESSES = 10_000


class Guesses:
    """Counts failures by address, over a window that slides.

    Parameters
    ----------
    most : int
        Failures that an address has within the window; more are refused unheard.
    window_s : float, s
        Length of the window.
    clock : callable
        Gives seconds that never run backwards (`time.monotonic`).

    Examples
    --------
    >>> now = 0.0
    >>> guesses = Guesses(most=2, window_s=60.0, clock=lambda: now)
    >>> guesses.failed("10.0.0.9"), guesses.wait_s("10.0.0.9")
    (1, 0.0)
    >>> guesses.failed("10.0.0.9"), guesses.wait_s("10.0.0.9"), guesses.wait_s("10.0.0.8")
    (2, 60.0, 0.0)
    """

    def __init__(self, *, most: int, window_s: float, clock: Callable[[], float]) -> None:
        self._most = most
        self._window_s = window_s
        self._clock = clock
        self._turn = threading.Lock()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def failed(self, address: str) -> int:
        """Note a failure; gives how many the address has in the window."""
        with self._turn:
            times = self._recent(address)
            times.append(self._clock())
            self._failures[address] = times
            self._failures.move_to_end(address)
            while len(self._failures) > _MOST_ADDRESSES:
                self._failures.popitem(last=False)
            return len(times)

    def wait_s(self, address: str) -> float:
        """Give the seconds until the address is heard again, 0 if it is heard now."""
        with self._turn:
            times = self._recent(address)
            if len(times) < self._most:
                return 0.0
            return max(0.0, times[-self._most] + self._window_s - self._clock())

    def _recent(self, address: str) -> deque[float]:
        times = self._failures.get(address, deque(maxlen=self._most))
        oldest = self._clock() - self._window_s
        while times and times[0] <= oldest:
            times.popleft()
        return times
