"""How long `firstread serve` takes to be ready with one model and to stop, and what it holds meanwhile."""

import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil

from models.registry import shipped_folder
from tests.benchmarks.measuring import Figure
from tests.tiny_model import write_tiny_artifact

N_ROUNDS = 5
GIVE_UP_S = 60.0
SETTLE_S = 2.0


def measure() -> list[Figure]:
    """Start it several times in fresh homes; memory is that of the whole process tree (PSS)."""
    rounds = []
    for _ in range(N_ROUNDS):
        with tempfile.TemporaryDirectory() as folder:
            rounds.append(_start_once(Path(folder)))
    ready_s, size_mb, stopped_s = (statistics.median(figures) for figures in zip(*rounds, strict=True))
    return [
        Figure("`firstread serve` to ready, one model", f"{ready_s:.1f} s", "-", "<= 3 s", ready_s <= 3),
        Figure(
            "the same, memory of all its processes (PSS)",
            f"{size_mb:.0f} MB",
            "-",
            "<= 250 MB",
            size_mb <= 250,
        ),
        Figure("the same, Ctrl-C to exit", f"{stopped_s:.1f} s", "-", "<= 5 s", stopped_s <= 5),
    ]


def _start_once(folder: Path) -> tuple[float, float, float]:
    models = shipped_folder()
    if not any(models.glob("derm-lesion/*/model.onnx")):
        models = folder / "models"
        write_tiny_artifact(models)
    port = _free_port()
    started = time.monotonic()
    process = subprocess.Popen(
        [
            Path(sys.executable).with_name("firstread"),
            *("serve", "--port", str(port), "--home", folder / "home", "--models", models),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"FIRSTREAD_WORKERS": "1"},
    )
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/readyz", started + GIVE_UP_S)
        ready_s = time.monotonic() - started
        time.sleep(SETTLE_S)
        tree = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        size_mb = sum(member.memory_full_info().pss for member in tree) / 1e6
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=GIVE_UP_S)
        return ready_s, size_mb, time.monotonic() - asked
    finally:
        process.kill()


def _wait_until_ready(address: str, until: float) -> None:
    while time.monotonic() < until:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    raise TimeoutError(f"{address} was not ready")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
