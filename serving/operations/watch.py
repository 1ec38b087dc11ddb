"""Asks something that may hang, without hanging with it: in a thread of its own, one at a time."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Watch(Generic[T]):
    """Looks in the background; whoever asks while it looks waits for the same answer.

    The threads that serve requests are not used: they may all be waiting for the very thing that hangs. One
    look that never ends holds one thread, however often it is asked for, and does not keep the process alive.

    Parameters
    ----------
    look : callable
        May take as long as it likes.
    """

    def __init__(self, look: Callable[[], T]) -> None:
        self._look = look
        self._turn = threading.Lock()
        self._under_way: Future[T] | None = None

    def begin(self) -> "Future[T]":
        """Begin to look, unless that is under way."""
        with self._turn:
            if self._under_way is None or self._under_way.done():
                self._under_way = Future()
                threading.Thread(target=self._run, args=(self._under_way,), name="watch", daemon=True).start()
            return self._under_way

    def wait(self, limit_s: float) -> T | None:
        """Look, and give what was seen; None if that takes longer than `limit_s`."""
        try:
            return self.begin().result(limit_s)
        except TimeoutError:
            return None

    def _run(self, answer: "Future[T]") -> None:
        try:
            answer.set_result(self._look())
        except BaseException as error:  # noqa: BLE001 - it is raised where the answer is asked for
            answer.set_exception(error)


async def seen_within(watches: "list[Watch[T]]", limit_s: float) -> "list[T | None]":
    """Give what all see, None for each that has not seen it after `limit_s` in all."""
    looks = [asyncio.wrap_future(watch.begin()) for watch in watches]
    await asyncio.wait(looks, timeout=limit_s)
    return [look.result() if look.done() else None for look in looks]
