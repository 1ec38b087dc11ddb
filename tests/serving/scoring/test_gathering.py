"""Batches across studies, before a session of the test that can be held in the midst of a batch."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.artifact import Artifact
from models.errors import OutputError
from models.runtime import Outputs, Session
from serving.scoring.gathering import Gathering
from tests.tiny_model import write_tiny_artifact

PATIENCE_S = 30.0


class FakeGpu:
    """Says what it was given, holds each batch until it may go on, and fails on frames of 255."""

    providers = ("CUDAExecutionProvider",)
    sha256 = "0" * 64

    def __init__(self, session: Session) -> None:
        self._session = session
        self.n_frames: list[int] = []
        self.began = threading.Semaphore(0)
        self.may_go_on = threading.Semaphore(0)

    @property
    def artifact(self) -> Artifact:
        return self._session.artifact

    def run(self, batch: NDArray[np.uint8]) -> Outputs:
        self.n_frames.append(len(batch))
        self.began.release()
        assert self.may_go_on.acquire(timeout=PATIENCE_S)
        if (batch == 255).all(axis=(1, 2, 3)).any():
            raise OutputError("out of memory")
        return self._session.run(batch)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Session:
    folder: Path = tmp_path_factory.mktemp("models")
    return Session(write_tiny_artifact(folder))


def frames(session: Session, *shades: int) -> NDArray[np.uint8]:
    spec = session.artifact.card.input
    return np.stack([np.full((spec.height, spec.width, 3), shade, np.uint8) for shade in shades])


class Room:
    """A GPU, what stands before it, and threads that ask."""

    def __init__(self, session: Session, *, most_frames: int = 64) -> None:
        self.session = session
        self.gpu = FakeGpu(session)
        self.gathering = Gathering(self.gpu, most_frames=most_frames)
        self.threads = ThreadPoolExecutor(16)

    def ask(self, *shades: int) -> "Future[Outputs]":
        return self.threads.submit(self.gathering.run, frames(self.session, *shades))

    def hold_one(self) -> "Future[Outputs]":
        """Begin a batch of one, so that whatever is asked now waits together."""
        first = self.ask(1)
        assert self.gpu.began.acquire(timeout=PATIENCE_S)
        return first

    def wait_for_waiting(self, n_wishes: int) -> None:
        for _ in range(3000):
            if len(self.gathering._waiting) == n_wishes:
                return
            threading.Event().wait(0.01)
        pytest.fail(f"{len(self.gathering._waiting)} wait, not {n_wishes}")

    def go_on(self, n_batches: int = 99) -> None:
        self.gpu.may_go_on.release(n_batches)


def test_what_comes_while_a_batch_runs_goes_in_the_next_one_together(session: Session) -> None:
    room = Room(session)
    first = room.hold_one()
    others = [room.ask(shade) for shade in (10, 20, 30, 40)]
    room.wait_for_waiting(4)
    room.go_on()
    for shade, answer in zip((1, 10, 20, 30, 40), [first, *others], strict=True):
        expected = session.run(frames(session, shade))
        np.testing.assert_allclose(answer.result(PATIENCE_S).logits, expected.logits, rtol=1e-5)
        np.testing.assert_allclose(answer.result(PATIENCE_S).maps, expected.maps, rtol=1e-5)
    assert room.gpu.n_frames == [1, 4]


def test_everyone_gets_their_own_frames_back_whatever_their_number(session: Session) -> None:
    room = Room(session)
    room.hold_one()
    asked = [(5,), (10, 11, 12), (20, 21)]
    answers = [room.ask(*shades) for shades in asked]
    room.wait_for_waiting(3)
    room.go_on()
    for shades, answer in zip(asked, answers, strict=True):
        expected = session.run(frames(session, *shades))
        np.testing.assert_allclose(answer.result(PATIENCE_S).features, expected.features, rtol=1e-5)
    assert room.gpu.n_frames == [1, 6]


def test_a_batch_stays_below_its_limit_and_a_larger_study_goes_alone_and_whole(session: Session) -> None:
    room = Room(session, most_frames=4)
    room.hold_one()
    answers = [room.ask(*range(n)) for n in (3, 2, 6, 1)]
    room.wait_for_waiting(4)
    room.go_on()
    for answer in answers:
        answer.result(PATIENCE_S)
    assert sum(room.gpu.n_frames) == 13
    assert max(n for n in room.gpu.n_frames if n != 6) <= 4


def test_a_study_that_breaks_a_batch_fails_alone(session: Session) -> None:
    room = Room(session)
    room.hold_one()
    good, bad, also_good = room.ask(10), room.ask(255), room.ask(20)
    room.wait_for_waiting(3)
    room.go_on()
    with pytest.raises(OutputError, match="out of memory"):
        bad.result(PATIENCE_S)
    assert len(good.result(PATIENCE_S).logits) == len(also_good.result(PATIENCE_S).logits) == 1


def test_one_who_comes_alone_waits_for_nobody(session: Session) -> None:
    room = Room(session)
    room.go_on()
    assert len(room.ask(7).result(PATIENCE_S).logits) == 1
    assert room.gpu.n_frames == [1]
