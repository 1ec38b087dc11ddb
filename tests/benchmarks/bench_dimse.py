"""C-STORE of CT slices of 512 x 512 by dcmtk's storescu, to firstread and to Orthanc in turn.

Both run as processes of their own on this machine and flush what they store; both and the sender have
TCP_NODELAY. Orthanc flushes the file, not its index; firstread flushes the file, its folder and the rows.
How flat memory is, is looked at over many small instances and one large one; their number and size can be
set by FIRSTREAD_BENCH_INSTANCES and FIRSTREAD_BENCH_LARGE_BYTES.
"""

import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from pydicom.dataset import Dataset

from data.dicom.writing import ObjectInfo, set_file_meta, write_ct_series
from serving.dimse.calling import Calling, Place
from serving.dimse.line import Patience
from serving.dimse.sending import send
from tests.benchmarks.material import BenchmarkSkippedError
from tests.benchmarks.measuring import Figure, seconds
from tests.benchmarks.orthanc import ENVIRONMENT, free_port, orthanc, wait_for

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = int(os.environ.get("FIRSTREAD_BENCH_ROUNDS", "5"))
SLICES = 40
N_MANY = int(os.environ.get("FIRSTREAD_BENCH_INSTANCES", "5000"))
LARGE_BYTES = int(os.environ.get("FIRSTREAD_BENCH_LARGE_BYTES", "2000000000"))
MULTI_FRAME = "1.2.840.10008.5.1.4.1.1.7.3"


@dataclass(frozen=True)
class Firstread:
    """A running service that devices call."""

    http: int
    dicom: int
    process: psutil.Process

    def resident_mib(self) -> float:
        """Give its memory, in MiB."""
        return float(self.process.memory_info().rss) / 2**20


def measure() -> list[Figure]:
    """Send studies over one association and over four, then many small instances and a large one."""
    if shutil.which("storescu") is None:
        raise BenchmarkSkippedError("there is no storescu (Debian: apt-get install dcmtk)")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with firstread(folder / "firstread") as ours, orthanc(folder / "orthanc") as peer:
            figures = [
                _rates(folder / f"at-{n}", ours, peer.dicom, n, target=target, version=peer.version)
                for n, target in ((1, 0.9), (4, 0.8))
            ]
            beside = f"Orthanc {peer.version}: {peer.resident_mib():.0f} MiB"
            figures.append(
                Figure(
                    "memory after that",
                    f"{ours.resident_mib():.0f} MiB",
                    beside,
                    "<= Orthanc's",
                    ours.resident_mib() <= peer.resident_mib(),
                )
            )
            figures += _flat(folder, ours)
    return figures


def _rates(
    folder: Path, ours: Firstread, peer_port: int, n_associations: int, *, target: float, version: str
) -> Figure:
    rounds = []
    for number in range(ROUNDS + 1):
        studies = [_study(folder / f"{number}-{place}") for place in range(n_associations)]
        to_us = _sending(studies, "FIRSTREAD", ours.dicom)
        to_peer = _sending(studies, "ORTHANC", peer_port)
        rounds.append((seconds(to_us), seconds(to_peer)))
        for study in studies:
            shutil.rmtree(study)
    measured = rounds[1:]
    n_instances = SLICES * n_associations
    rates = [n_instances / statistics.median(each) for each in zip(*measured, strict=True)]
    ratio = statistics.median(peer_s / our_s for our_s, peer_s in measured)
    return Figure(
        f"C-STORE of CT slices of 512 KiB, associations at once: {n_associations}",
        f"{rates[0]:.0f} instances/s",
        f"Orthanc {version}: {rates[1]:.0f}/s, ratio {ratio:.2f}",
        f">= {target}",
        ratio >= target,
    )


def _sending(studies: Sequence[Path], title: str, port: int) -> Callable[[], None]:
    def send_all() -> None:
        words = ["storescu", "-aet", "SENDER", "-aec", title, "127.0.0.1", str(port), "+sd"]
        senders = [subprocess.Popen([*words, str(study)], env=ENVIRONMENT) for study in studies]
        assert [sender.wait() for sender in senders] == [0] * len(senders)

    return send_all


def _study(folder: Path, *, n_slices: int = SLICES, side: int = 512) -> Path:
    generator = np.random.default_rng(abs(hash(str(folder))))
    slices = generator.integers(-1000, 1000, (n_slices, side, side)).astype(np.int16)
    info = ObjectInfo(str(folder), "BENCHMARK", patient_id=folder.name)
    write_ct_series(folder, slices, info=info, spacing_mm=(0.5, 0.5), thickness_mm=1.0)
    return folder


def _flat(folder: Path, ours: Firstread) -> list[Figure]:
    grown = []
    for n in (max(1, N_MANY // 10), N_MANY):
        before = ours.resident_mib()
        sent_so_far = 0
        while sent_so_far < n:
            study = _study(folder / f"small-{n}-{sent_so_far}", n_slices=min(500, n - sent_so_far), side=64)
            _sending([study], "FIRSTREAD", ours.dicom)()
            sent_so_far += 500
            shutil.rmtree(study)
        grown.append(ours.resident_mib() - before)
    large = _large(folder / "large.dcm")
    peak = _Peak(ours)
    took = seconds(lambda: _send_large(large, ours.dicom, peak))
    return [
        Figure(
            f"memory over {N_MANY:,} instances",
            f"+{grown[1]:.0f} MiB",
            f"over the {max(1, N_MANY // 10):,} before +{grown[0]:.0f} MiB",
            "<= 50 MiB",
            grown[1] <= 50,
        ),
        Figure(
            f"memory at its highest while an instance of {LARGE_BYTES / 1e9:.2f} GB comes",
            f"+{peak.highest_mib - peak.before_mib:.0f} MiB",
            f"{took:.1f} s",
            "<= 50 MiB",
            peak.highest_mib - peak.before_mib <= 50,
        ),
    ]


class _Peak:
    """Looks at memory while something goes on."""

    def __init__(self, ours: Firstread) -> None:
        self._ours = ours
        self.before_mib = self.highest_mib = ours.resident_mib()

    def look(self) -> None:
        self.highest_mib = max(self.highest_mib, self._ours.resident_mib())


def _send_large(path: Path, port: int, peak: _Peak) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.benchmarks.bench_dimse import send_one; "
        "send_one(Path(sys.argv[1]), int(sys.argv[2]))"
    )
    sender = subprocess.Popen([sys.executable, "-c", script, str(path), str(port)], cwd=ROOT)
    while sender.poll() is None:
        peak.look()
        time.sleep(0.05)
    assert sender.returncode == 0


def send_one(path: Path, port: int) -> None:
    """Send a file, in a process of its own."""
    call = Calling("SENDER", Patience(idle_s=600.0))
    (sent,) = send([path], lambda wanted: call(Place("FIRSTREAD", "127.0.0.1", port), wanted))
    assert sent.status == 0, sent.problem


def _large(path: Path) -> Path:
    """Write a multi-frame image of zeros: header first, then the frames one at a time."""
    n_frames = max(1, LARGE_BYTES // (512 * 1024))
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = MULTI_FRAME, "1.2.826.0.1.3680043.8.498.1"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = (
        "1.2.826.0.1.3680043.8.498.2",
        "1.2.826.0.1.3680043.8.498.3",
    )
    dataset.PatientID, dataset.PatientName, dataset.Modality = "LARGE", "Large", "OT"
    dataset.Rows = dataset.Columns = 512
    dataset.NumberOfFrames = n_frames
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, 0
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    set_file_meta(dataset, "1.2.840.10008.1.2.1")
    dataset.save_as(path, enforce_file_format=True)
    with path.open("ab") as file:
        file.write(struct.pack("<HH2s2xI", 0x7FE0, 0x0010, b"OW", n_frames * 512 * 1024))
        for _ in range(n_frames):
            file.write(bytes(512 * 1024))
    return path


@contextmanager
def firstread(home: Path) -> Iterator[Firstread]:
    """Run the service as an operator does, with a device that may call."""
    http, dicom = free_port(), free_port()
    environment = {
        **ENVIRONMENT,
        "FIRSTREAD_HOME": str(home),
        "FIRSTREAD_PORT": str(http),
        "FIRSTREAD_DICOM_PORT": str(dicom),
        "FIRSTREAD_WORKERS": "0",
        "FIRSTREAD_LOG_LEVEL": "warning",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-c", "from serving.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "serve", "--without-sign-in"],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(dicom)
        wait_for(http)
        subprocess.run(
            [*command, "admin", "devices", "add", "SENDER"],
            env=environment,
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        yield Firstread(http, dicom, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(60)
