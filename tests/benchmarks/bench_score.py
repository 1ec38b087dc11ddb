"""`firstread score` on 500 photographs against decode and ONNX Runtime without our code around them."""

import os
import subprocess
import sys
from pathlib import Path

from models.artifact import read_artifact
from models.registry import shipped_folder
from tests.benchmarks.material import ham_photographs
from tests.benchmarks.measuring import Figure, in_turn

N_PHOTOGRAPHS = 500


def measure() -> list[Figure]:
    """Time both as whole processes, from start to exit, on the same number of processes."""
    (model,) = (path.parent for path in (shipped_folder() / "derm-lesion").glob("*/card.json"))
    artifact = read_artifact(model)
    network, _ = artifact.variant(artifact.cpu_precision)  # the one that `firstread score` runs
    side = artifact.card.input.height
    photographs = ham_photographs(N_PHOTOGRAPHS)
    n_jobs = len(os.sched_getaffinity(0))
    program = Path(sys.executable).with_name("firstread")

    def ours() -> None:
        done = subprocess.run(
            [program, "score", *photographs, "--format", "json", "--jobs", str(n_jobs)],
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.count('"status"') == N_PHOTOGRAPHS

    def bare() -> None:
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.bare", network, str(side), str(n_jobs)],
            input="\n".join(map(str, photographs)),
            check=True,
            capture_output=True,
            text=True,
        )
        assert done.stdout.split() == [str(N_PHOTOGRAPHS)]

    pair = in_turn(ours, bare, rounds=5)
    return [
        Figure(
            f"`firstread score` on {N_PHOTOGRAPHS} HAM10000 photographs, {n_jobs} processes, start included",
            f"{pair.speed_up:.2f} of the bare rate ({N_PHOTOGRAPHS / pair.ours_median_s:.0f} images/s)",
            f"decode + ONNX Runtime alone, {N_PHOTOGRAPHS / pair.peer_median_s:.0f} images/s",
            ">= .85",
            pair.speed_up >= 0.85,
        )
    ]
