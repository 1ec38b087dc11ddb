"""An object of 0.5 MB made durable, beside a bare write and fsync of the same bytes."""

import os
import tempfile
from itertools import count
from pathlib import Path

from serving.store.local_objects import LocalObjects
from tests.benchmarks.measuring import Figure, in_turn

N_BYTES = 500_000


def measure() -> list[Figure]:
    """Put and write in turn, other bytes each time."""
    numbers = count()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects = LocalObjects(folder / "objects")

        def spooled() -> Path:
            file = folder / f"spooled-{next(numbers)}"
            file.write_bytes(os.urandom(16) + bytes(N_BYTES - 16))
            return file

        def put() -> None:
            objects.take([spooled()])

        def bare() -> None:
            with spooled().open("rb") as file:
                os.fsync(file.fileno())

        pair = in_turn(put, bare, rounds=100)
    return [
        Figure(
            "0.5 MB put durably: hash, flush, rename, two folders flushed",
            f"{1000 * pair.ours_median_s:.1f} ms",
            f"bare write and fsync {1000 * pair.peer_median_s:.1f} ms, {1 / pair.speed_up:.1f} x",
            "none: the folders' flushes are the price",
            None,
        )
    ]
