"""Every shipped model, one picture at a time on one thread: in floating point and in 8-bit integers."""

import numpy as np

from models.artifact import Artifact
from models.card import Precision
from models.registry import Registry, shipped_folder
from models.runtime import Session
from tests.benchmarks.material import BenchmarkSkippedError
from tests.benchmarks.measuring import Figure, in_turn, seconds

MAX_MS = 15.0
ROUNDS = 60


def measure() -> list[Figure]:
    """Time what a CPU runs of each model, beside its other variant where there is one."""
    artifacts = Registry([shipped_folder()]).artifacts()
    if not artifacts:
        raise BenchmarkSkippedError("no model is shipped")
    return [_measure(artifact) for artifact in artifacts]


def _measure(artifact: Artifact) -> Figure:
    spec, used = artifact.card.input, artifact.cpu_precision
    picture = np.random.default_rng(1).integers(0, 256, (1, spec.height, spec.width, 3), np.uint8)
    session = Session(artifact, precision=used)
    others = [one for one in artifact.precisions if one is not used]
    if others:
        other = Session(artifact, precision=others[0])
        pair = in_turn(lambda: session.run(picture), lambda: other.run(picture), rounds=ROUNDS)
        time_ms = 1000 * pair.ours_median_s
        beside = f"{others[0]}, {1000 * pair.peer_median_s:.1f} ms ({pair.speed_up:.2f} x)"
    else:
        session.run(picture)
        time_ms = 1000 * float(np.median([seconds(lambda: session.run(picture)) for _ in range(ROUNDS)]))
        beside = _why_alone(artifact)
    return Figure(
        f"{artifact.label} at {spec.width} px, {used}, one thread, one picture",
        f"{time_ms:.1f} ms",
        beside,
        f"<= {MAX_MS:.0f} ms",
        time_ms <= MAX_MS,
    )


def _why_alone(artifact: Artifact) -> str:
    if artifact.card.variants is None:
        return "exported without integers"
    return f"{Precision.INT8} refused: {'; '.join(artifact.card.variants.refusals)}"
