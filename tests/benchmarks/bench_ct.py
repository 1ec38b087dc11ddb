"""A CT of 300 slices, 512 x 512 of 16 bits, scored by `firstread score` end to end, start included.

The heads are phantoms, enlarged. The model is the shipped one for head CT; where it is not there, the
network that the recipe names, with weights of no meaning, which takes the same time.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from numpy.typing import NDArray

from data.dicom.grouping import read_studies
from data.dicom.writing import Encoding, ObjectInfo, write_ct_series
from data.phantoms import LABEL, head_ct
from data.study import Modality
from models.artifact import Artifact, write_artifact
from models.card import Colour, Pooling
from models.registry import Registry, shipped_folder
from models.runtime import Session
from models.suitability import series_taken
from serving.scoring.preparation import prepared_batches
from tests.benchmarks.measuring import Figure
from tests.tiny_model import tiny_card

N_SLICES = 300
SIDE_PX = 512
MODEL = "head-ct-haemorrhage"
NETWORK, NETWORK_PX = "efficientnet-lite0", 192
LIMIT_S = 6.0
LIMIT_MB = 700.0
N_ROUNDS = 3
POLL_S = 0.01


@dataclass(frozen=True, slots=True)
class _Run:
    """Wall and processor time in s, the highest memory of all processes in MB."""

    wall_s: float
    processor_s: float
    peak_mb: float


def measure() -> list[Figure]:
    """Score both encodings; beside it stands the processor time of all and of each part.

    That holds on a busy machine as well.
    """
    with tempfile.TemporaryDirectory() as scratch:
        artifact = _model(Path(scratch) / "models")
        figures, slices = [], _slices()
        for encoding in (Encoding.NATIVE, Encoding.JPEG_LS):
            study = Path(scratch) / encoding
            info = ObjectInfo(seed=f"benchmark {encoding}", label=LABEL, body_part="HEAD")
            write_ct_series(
                study,
                slices,
                info=info,
                spacing_mm=(0.45, 0.45),
                thickness_mm=0.5,
                rescale=(1.0, -1024.0),
                encoding=encoding,
            )
            runs = [_score(study, artifact) for _ in range(N_ROUNDS)]
            figures += _figures(str(encoding), artifact, runs, study)
    return figures


def _figures(encoding: str, artifact: Artifact, runs: list[_Run], study: Path) -> list[Figure]:
    wall_s = float(np.median([run.wall_s for run in runs]))
    processor_s = float(np.median([run.processor_s for run in runs]))
    peak_mb = max(run.peak_mb for run in runs)
    px = artifact.card.input.height
    return [
        Figure(
            f"`firstread score` on a CT of {N_SLICES} slices, {SIDE_PX} px, {encoding}, model at {px} px",
            f"{wall_s:.1f} s",
            f"{processor_s:.1f} s of one core in all: {_parts(study, artifact)}",
            f"<= {LIMIT_S:g} s",
            wall_s <= LIMIT_S,
        ),
        Figure(
            "the same, highest memory of all its processes (RSS)",
            f"{peak_mb:.0f} MB",
            "-",
            f"<= {LIMIT_MB:g} MB",
            peak_mb <= LIMIT_MB,
        ),
    ]


def _parts(study: Path, artifact: Artifact) -> str:
    paths = sorted(study.iterdir())
    (read,), _ = read_studies(paths)
    taken = series_taken(read, artifact.card.applies_to)
    session = Session(artifact)
    spec = artifact.card.input
    picture = np.zeros((1, spec.height, spec.width, 3), np.uint8)
    parts: dict[str, Callable[[], object]] = {
        "headers": lambda: read_studies(paths),
        "decode and window": lambda: list(prepared_batches(taken, spec)),
        "network": lambda: [session.run(picture) for _ in range(N_SLICES)],
        "start": lambda: subprocess.run([_program(), "models", "list"], check=True, capture_output=True),
    }
    return ", ".join(f"{name} {_processor_seconds(work):.1f}" for name, work in parts.items())


def _processor_seconds(work: Callable[[], object]) -> float:
    before = os.times()
    work()
    after = os.times()
    return sum(after[:4]) - sum(before[:4])


def _score(study: Path, artifact: Artifact) -> _Run:
    started, before = time.perf_counter(), os.times()
    process = psutil.Popen(
        [
            *(_program(), "score", study, "--format", "json"),
            *("--model", artifact.card.name, "--models", artifact.folder.parent.parent),
        ],
        stdout=subprocess.PIPE,
    )
    peak_bytes = 0
    while process.poll() is None:
        peak_bytes = max(peak_bytes, _memory_bytes(process))
        time.sleep(POLL_S)
    wall_s = time.perf_counter() - started
    result = json.loads(process.stdout.read())
    assert result["model"]["name"] == artifact.card.name, result["reason"]
    assert len(result["key_images"]) == 3
    after = os.times()
    processor_s = after.children_user + after.children_system - before.children_user - before.children_system
    return _Run(wall_s, processor_s, peak_bytes / 1e6)


def _memory_bytes(process: psutil.Process) -> int:
    total = 0
    try:
        for member in (process, *process.children(recursive=True)):
            total += member.memory_info().rss
    except psutil.NoSuchProcess:
        pass
    return total


def _program() -> Path:
    return Path(sys.executable).with_name("firstread")


def _slices() -> NDArray[np.int16]:
    head = head_ct(1, has_bleed=True, n_slices=N_SLICES, side_px=SIDE_PX)
    stored: NDArray[np.int16] = head.hounsfield + np.int16(1024)
    return stored


def _model(folder: Path) -> Artifact:
    registry = Registry([shipped_folder()])
    if any(artifact.card.name == MODEL for artifact in registry.artifacts()):
        return registry.get(MODEL)
    # here alone: where the model is shipped this benchmark needs no torch
    from models.networks.build import build_network
    from training.export import to_onnx

    classes = ("none", "haemorrhage")
    card = tiny_card(
        name=MODEL,
        classes=classes,
        modalities=[Modality.CT],
        body_parts=["HEAD"],
        side=NETWORK_PX,
        colour=Colour.NEIGHBOURS,
        pooling=Pooling.ATTENTION,
    )
    spec = {"height": NETWORK_PX, "width": NETWORK_PX, "colour": "neighbours", "resize": "pad"}
    card["input"] = {**spec, "windows": [{"centre": 40, "width": 120}], "neighbour_mm": 5.0}
    network = build_network(NETWORK, n_classes=len(classes)).eval()
    return write_artifact(folder / MODEL / "1", onnx=to_onnx(network, NETWORK_PX), card=card)
