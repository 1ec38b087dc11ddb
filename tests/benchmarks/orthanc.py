"""Orthanc as Debian ships it, as a peer of benchmarks: it flushes what it stores, and waits for no packet."""

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.benchmarks.material import BenchmarkSkippedError

# Without it dcmtk, which Orthanc is built on, waits 40 ms for each answer.
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
_PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc."""

    version: str
    http: int
    dicom: int
    process: psutil.Process

    def resident_mib(self) -> float:
        """Give its memory, in MiB."""
        return float(self.process.memory_info().rss) / 2**20


def free_port() -> int:
    """Give a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def wait_for(port: int, *, seconds: float = 60.0) -> None:
    """Wait until somebody listens."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise BenchmarkSkippedError(f"nobody listens on port {port}")


@contextmanager
def orthanc(folder: Path) -> Iterator[Orthanc]:
    """Run one; skips the benchmark where there is none."""
    program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    if not Path(program).is_file():
        raise BenchmarkSkippedError("there is no Orthanc (Debian: apt-get install orthanc orthanc-dicomweb)")
    said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"\d+(\.\d+)+", said)
    http, dicom = free_port(), free_port()
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "Name": "peer",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "SyncStorageArea": True,
        "TcpNoDelay": True,
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "HttpPort": http,
        "AuthenticationEnabled": False,
        "Plugins": [str(_PLUGIN)] if _PLUGIN.is_file() else [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    process = subprocess.Popen(
        [program, str(folder / "orthanc.json")],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(http)
        wait_for(dicom)
        yield Orthanc(found[0] if found else "?", http, dicom, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(60)
