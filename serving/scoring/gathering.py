"""Runs frames of several studies in one batch, where the network runs on something that is quicker so.

Nobody waits for a batch to fill: while one batch runs, whatever else wants to run comes together, and goes
next. So a single study is not slower for it, and many keep a GPU busy. On a CPU it gains nothing
(:mod:`models.runtime`), and is not used.
"""

import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.artifact import Artifact
from models.errors import OutputError
from models.runtime import Outputs

# A 224 px frame and its activations take some 60 MB of a network like EfficientNet-Lite0: well below 4 GB.
MOST_FRAMES = 64


class Runs(Protocol):
    """A loaded model (:class:`models.runtime.Session`), or something that stands before one."""

    @property
    def artifact(self) -> Artifact:
        """The model."""

    @property
    def sha256(self) -> str:
        """Of the file that runs."""

    @property
    def providers(self) -> tuple[str, ...]:
        """On what it runs."""

    def run(self, batch: NDArray[np.uint8]) -> Outputs:
        """Run the network on (n, height, width, 3) uint8."""


class Gathering:
    """Stands before a session and gathers what several threads want to run.

    Parameters
    ----------
    session : Runs
        Runs one batch at a time, in the thread of one of those who ask.
    most_frames : int
        Of a batch that is gathered; one study's own batch is never torn.
    """

    def __init__(self, session: Runs, *, most_frames: int = MOST_FRAMES) -> None:
        self._session = session
        self._most_frames = most_frames
        self._turn = threading.Lock()
        self._device = threading.Lock()
        self._waiting: deque[_Wish] = deque()

    @property
    def artifact(self) -> Artifact:
        """The model."""
        return self._session.artifact

    @property
    def sha256(self) -> str:
        """Of the file that runs."""
        return self._session.sha256

    @property
    def providers(self) -> tuple[str, ...]:
        """On what it runs."""
        return self._session.providers

    def run(self, batch: NDArray[np.uint8]) -> Outputs:
        """Run a batch, together with those of others.

        Raises
        ------
        OutputError
            If this batch fails by itself, too.
        """
        wish = _Wish(batch)
        with self._turn:
            self._waiting.append(wish)
        with self._device:  # whoever had it before may have run this batch with theirs
            while not wish.outputs.done():
                self._run_together(self._next())
        return wish.outputs.result()

    def _next(self) -> "list[_Wish]":
        taken: list[_Wish] = []
        n_frames = 0
        with self._turn:
            while self._waiting and (
                not taken or n_frames + len(self._waiting[0].batch) <= self._most_frames
            ):
                wish = self._waiting.popleft()
                n_frames += len(wish.batch)
                taken.append(wish)
        return taken

    def _run_together(self, together: "list[_Wish]") -> None:
        try:
            outputs = self._session.run(np.concatenate([wish.batch for wish in together]))
        except OutputError as error:
            if len(together) == 1:
                together[0].outputs.set_exception(error)
                return
            for wish in together:  # one of them may be the cause, and fails alone
                self._run_together([wish])
            return
        except BaseException as error:  # noqa: BLE001 - those who wait must hear of it, whatever it is
            for wish in together:
                wish.outputs.set_exception(error)
            return
        start = 0
        for wish in together:
            part = slice(start, start + len(wish.batch))
            start = part.stop
            wish.outputs.set_result(Outputs(outputs.logits[part], outputs.features[part], outputs.maps[part]))


@dataclass(frozen=True, slots=True, eq=False)
class _Wish:
    batch: NDArray[np.uint8]
    outputs: "Future[Outputs]" = field(default_factory=Future)
