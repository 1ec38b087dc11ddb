"""Does something now and then, in a thread of its own, for as long as a part of the program runs."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def now_and_then(
    work: Callable[[], None], *, every_s: float, name: str, at_once: bool = False
) -> Iterator[None]:
    """Have `work` done every so often until the context ends, which waits for the one under way.

    Parameters
    ----------
    work : callable
        Deals with its own failures: one that it lets through ends the thread.
    every_s : float, s
        From the end of one to the next.
    name : str
        The thread's.
    at_once : bool
        Whether the first comes before the first wait.
    """
    stopping = threading.Event()

    def run() -> None:
        if at_once:
            work()
        while not stopping.wait(every_s):
            work()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()
