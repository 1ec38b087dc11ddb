"""Has those who ask at the same moment answered together: one of them does the work of all who wait.

Whoever comes alone is answered at once. Whoever comes while others are being answered waits, and the first of
those then does the work for all: what a transaction costs, they pay once.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

# Those who came first should not wait long for those who came last.
MOST = 64


@dataclass(eq=False)
class _Waiting(Generic[Asked, Answer]):
    asked: Asked
    turn: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    answer: "Answer | BaseException | None" = None


class Together(Generic[Asked, Answer]):
    """Answers questions, those that come at the same moment together.

    Parameters
    ----------
    work : callable
        Gives the answer, or the exception, to each of some questions, in their order.
    """

    def __init__(self, work: Callable[[Sequence[Asked]], Sequence[Answer | BaseException]]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._waiting: list[_Waiting[Asked, Answer]] = []
        self._is_led = False

    def ask(self, asked: Asked) -> Answer:
        """Give the answer to a question, or raise what it is answered with."""
        mine = _Waiting[Asked, Answer](asked)
        with self._lock:
            self._waiting.append(mine)
            if not self._is_led:
                self._is_led = mine.leads = True
                mine.turn.set()
        mine.turn.wait()
        if mine.leads:
            self._lead()
        answer = mine.answer
        if isinstance(answer, BaseException):
            raise answer
        return answer  # type: ignore[return-value]  # None is an answer of those that may be

    def _lead(self) -> None:
        """Answer those who wait now, oneself among them, and have the next of the others lead."""
        with self._lock:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        try:
            for one, answer in zip(batch, self._work([one.asked for one in batch]), strict=True):
                one.answer = answer
        except BaseException as error:
            for one in batch:
                one.answer = error
            raise
        finally:
            with self._lock:
                self._is_led = bool(self._waiting)
                if self._waiting:
                    self._waiting[0].leads = True
                    self._waiting[0].turn.set()
            for one in batch:
                one.turn.set()
