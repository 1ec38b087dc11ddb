"""STOW-RS of CT slices of 512 x 512, ten a request, over one connection, each durable before its answer.

The bare cost beside it: the same bytes hashed, written and flushed one file after the other. And Orthanc
with its DICOMweb plug-in, which takes the same requests in turn with a service in a process of its own.
"""

import hashlib
import http.client
import os
import statistics
import sys
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import psutil

from data.dicom.writing import ObjectInfo, write_ct_series
from tests.benchmarks.bench_dimse import firstread
from tests.benchmarks.listening import listening
from tests.benchmarks.material import BenchmarkSkippedError
from tests.benchmarks.measuring import Figure, seconds
from tests.benchmarks.orthanc import orthanc

N_REQUESTS = 30
SLICES_A_REQUEST = 10
BOUNDARY = "bench"


def measure() -> list[Figure]:
    """Send studies of ten slices, then write the same bytes bare."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bodies, contents = _requests(folder / "material")
        bare = [seconds(lambda batch=batch: _write_bare(folder, batch)) for batch in contents]  # type: ignore[misc]  # bound
        (folder / "service").mkdir()
        with listening(folder / "service") as port:
            connection = http.client.HTTPConnection("127.0.0.1", port)
            before = psutil.Process().memory_info().rss
            sent = [seconds(lambda body=body: _post(connection, body)) for body in bodies]  # type: ignore[misc]  # bound
            grown = (psutil.Process().memory_info().rss - before) / 2**20
        beside = _beside_orthanc(folder, bodies)
    rate = SLICES_A_REQUEST / statistics.median(sent)
    bare_rate = SLICES_A_REQUEST / statistics.median(bare)
    return [
        Figure(
            "STOW-RS of CT slices of 512 KiB, 10 a request, one connection, SQLite",
            f"{rate:.0f} instances/s",
            f"bare hash, write, fsync {bare_rate:.0f}/s; memory +{grown:.0f} MiB over {len(sent)} requests",
            "memory <= 100 MiB",
            grown <= 100,
        ),
        *beside,
    ]


def _beside_orthanc(folder: Path, bodies: list[bytes]) -> list[Figure]:
    """Send the same to both, each in a process of its own; no row where there is no Orthanc."""
    try:
        with firstread(folder / "firstread") as ours, orthanc(folder / "orthanc") as peer:
            pairs = [
                (seconds(partial(_post_anew, ours.http, body)), seconds(partial(_post_anew, peer.http, body)))
                for body in bodies
            ][2:]
            our_mib, peer_mib = ours.resident_mib(), peer.resident_mib()
    except BenchmarkSkippedError as skipped:
        print(f"beside Orthanc: skipped, {skipped}", file=sys.stderr)
        return []
    rates = [SLICES_A_REQUEST / statistics.median(each) for each in zip(*pairs, strict=True)]
    ratio = statistics.median(peer_s / our_s for our_s, peer_s in pairs)
    return [
        Figure(
            "the same, a service in a process of its own",
            f"{rates[0]:.0f} instances/s",
            f"Orthanc {peer.version} with its DICOMweb plug-in: {rates[1]:.0f}/s, ratio {ratio:.2f}",
            ">= 1.5",
            ratio >= 1.5,
        ),
        Figure(
            "memory after that",
            f"{our_mib:.0f} MiB",
            f"Orthanc {peer.version}: {peer_mib:.0f} MiB",
            "<= Orthanc's",
            our_mib <= peer_mib,
        ),
    ]


def _requests(folder: Path) -> tuple[list[bytes], list[list[bytes]]]:
    generator = np.random.default_rng(1)
    bodies, contents = [], []
    for number in range(N_REQUESTS):
        slices = generator.integers(-1000, 1000, (SLICES_A_REQUEST, 512, 512)).astype(np.int16)
        info = ObjectInfo(f"bench {number}", "BENCHMARK", patient_id=f"P{number}")
        paths = write_ct_series(
            folder / str(number), slices, info=info, spacing_mm=(0.5, 0.5), thickness_mm=1.0
        )
        contents.append([path.read_bytes() for path in paths])
        bodies.append(_body(contents[-1]))
    return bodies, contents


def _body(contents: list[bytes]) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    return b"".join([head + content + b"\r\n" for content in contents]) + f"--{BOUNDARY}--\r\n".encode()


def _write_bare(folder: Path, contents: list[bytes]) -> None:
    for content in contents:
        path = folder / hashlib.sha256(content).hexdigest()
        with path.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())


def _post_anew(port: int, body: bytes) -> None:
    """Send on a connection of its own: Orthanc closes one that says nothing for a second."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        _post(connection, body)
    finally:
        connection.close()


def _post(connection: http.client.HTTPConnection, body: bytes) -> None:
    kind = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'
    connection.request("POST", "/dicom-web/studies", body, {"Content-Type": kind})
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
