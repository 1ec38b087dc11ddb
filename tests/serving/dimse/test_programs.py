"""Programs that this project did not write call and are called: dcmtk, and Orthanc as sender and receiver."""

import json
import os
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pydicom
import pytest

from serving.dimse.calling import Calling
from serving.dimse.part10 import data_set_of
from serving.store.dicom_images import find_images
from serving.store.tenancy import Scope
from tests.serving.dicomweb.sent import STUDY, ct
from tests.serving.dimse.service_by_dicom import Called, called
from tests.serving.identity.authority import Authority

# Debian's dcmtk and Orthanc wait 40 ms for every answer without it.
ENVIRONMENT = {**os.environ, "TCP_NODELAY": "1"}
DCMTK = ("echoscu", "storescu", "storescp", "findscu", "movescu", "getscu")
ORTHANC = shutil.which("Orthanc") or next((p for p in ("/usr/sbin/Orthanc",) if Path(p).is_file()), None)

needs_dcmtk = pytest.mark.skipif(
    any(shutil.which(name) is None for name in DCMTK), reason="no dcmtk (Debian: apt-get install dcmtk)"
)
needs_orthanc = pytest.mark.skipif(ORTHANC is None, reason="no Orthanc (Debian: apt-get install orthanc)")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Called]:
    with called(tmp_path_factory.mktemp("programs") / "service") as service:
        yield service


def _run(name: str, *words: str, is_good: bool = True) -> str:
    done = subprocess.run(
        [name, *words], check=False, capture_output=True, text=True, timeout=60, env=ENVIRONMENT
    )
    assert (done.returncode == 0) is is_good, (name, done.stdout, done.stderr)
    return done.stdout + done.stderr


def _as_sender(running: Called) -> list[str]:
    return ["-aet", "SENDER", "-aec", "FIRSTREAD", "127.0.0.1", str(running.port)]


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _until_it_listens(port: int) -> None:
    end = time.monotonic() + 30.0
    while time.monotonic() < end:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    pytest.fail(f"nobody listens on {port}")


@contextmanager
def _started(*words: str) -> Iterator[None]:
    process = subprocess.Popen(
        words, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _data_sets(paths: Sequence[Path]) -> dict[str, bytes]:
    return {
        str(pydicom.dcmread(path).SOPInstanceUID): b"".join(data_set_of([path.read_bytes()]))
        for path in paths
    }


@needs_dcmtk
def test_dcmtk_asks_whether_we_are_there(running: Called) -> None:
    _run("echoscu", *_as_sender(running))
    said = _run("echoscu", "-aet", "STRANGER", *_as_sender(running)[2:], is_good=False)
    assert "Calling AE Title Not Recognized" in said


@needs_dcmtk
def test_dcmtk_stores_finds_moves_and_gets(running: Called, tmp_path: Path) -> None:
    sent = ct(tmp_path / "ct")
    _run("storescu", *_as_sender(running), "+sd", str(tmp_path / "ct"))
    with running.service.database.reading() as connection:
        images = find_images(connection, scope=Scope.of("local"), study_uid=STUDY)
    stored = {
        one.instance.sop_instance_uid: b"".join(
            data_set_of([b"".join(running.service.objects.get(one.instance.sha256))])
        )
        for one in images
    }
    assert stored == _data_sets(sent)

    keys = ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={STUDY}", "-k", "PatientID"]
    found = _run("findscu", "-S", *_as_sender(running), *keys)
    assert "[P1]" in found

    port = _free_port()
    running.let_in("STORESCP", host="127.0.0.1", port=port)
    (tmp_path / "moved").mkdir()
    with _started("storescp", "-od", str(tmp_path / "moved"), "-aet", "STORESCP", str(port)):
        _until_it_listens(port)
        _run("movescu", "-S", "-aem", "STORESCP", *_as_sender(running), *keys[:4])
    assert _data_sets(list((tmp_path / "moved").iterdir())) == _data_sets(sent)

    (tmp_path / "got").mkdir()
    _run("getscu", "-S", "-od", str(tmp_path / "got"), *_as_sender(running), *keys[:4])
    assert _data_sets(list((tmp_path / "got").iterdir())) == _data_sets(sent)


@needs_dcmtk
@pytest.mark.parametrize(("verify", "is_taken"), [("known", True), ("unknown", False), ("none", False)])
def test_dcmtk_calls_by_tls_with_a_certificate_of_its_own(
    tmp_path: Path, verify: str, is_taken: bool
) -> None:
    authority, other = Authority(), Authority()
    root = tmp_path / "root.pem"
    root.write_bytes(authority.root.certificate_pem)
    certificate, key = authority.issue("localhost").write(tmp_path, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(root)
    context.verify_mode = ssl.CERT_REQUIRED
    theirs, their_key = (authority if verify == "known" else other).issue("ct").write(tmp_path, "ct")
    shown = ["+tls", str(their_key), str(theirs)] if verify != "none" else ["+tla"]
    with called(tmp_path / "service", tls=lambda: context) as running:
        _run("echoscu", *shown, "+cf", str(root), *_as_sender(running), is_good=is_taken)
        _run("echoscu", *_as_sender(running), is_good=False)  # in the clear


@contextmanager
def _orthanc(folder: Path, running: Called) -> Iterator[tuple[int, int]]:
    """Run an Orthanc that knows us; gives its HTTP and its DICOM port."""
    http, dicom = _free_port(), _free_port()
    folder.mkdir()
    settings = {
        "Name": "tests",
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomPort": dicom,
        "DicomAet": "ORTHANC",
        "HttpPort": http,
        "AuthenticationEnabled": False,
        "DefaultEncoding": "Utf8",
        "Plugins": [],
        "DicomModalities": {"firstread": ["FIRSTREAD", "127.0.0.1", running.port]},
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    assert ORTHANC is not None
    with _started(ORTHANC, str(folder / "orthanc.json")):
        _until_it_listens(http)
        yield http, dicom


def _rest(port: int, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data=data, timeout=30) as answer:
        return json.loads(answer.read())


@needs_orthanc
def test_orthanc_sends_asks_is_committed_to_and_is_sent_to(tmp_path: Path) -> None:
    with called(tmp_path / "service") as running, _orthanc(tmp_path / "orthanc", running) as (http, dicom):
        running.let_in("ORTHANC", host="127.0.0.1", port=dicom)
        sent = ct(tmp_path / "ct")
        for path in sent:
            _rest(http, "/instances", path.read_bytes())
        (study,) = _rest(http, "/studies")
        _rest(http, "/modalities/firstread/echo", {})
        stored = _rest(http, "/modalities/firstread/store", {"Resources": [study], "StorageCommitment": True})
        assert stored["FailedInstancesCount"] == 0
        with running.service.database.reading() as connection:
            images = find_images(connection, scope=Scope.of("local"), study_uid=STUDY)
        assert len(images) == 3

        end = time.monotonic() + 20.0
        report = {"Status": "Pending"}
        while report["Status"] == "Pending" and time.monotonic() < end:
            report = _rest(http, f"/storage-commitment/{stored['StorageCommitmentTransactionUID']}")
            time.sleep(0.1)
        assert (report["Status"], len(report["Success"])) == ("Success", 3)

        query = _rest(
            http, "/modalities/firstread/query", {"Level": "Study", "Query": {"PatientName": "Wang*"}}
        )
        (answer,) = _rest(http, f"/queries/{query['ID']}/answers")
        content = _rest(http, f"/queries/{query['ID']}/answers/{answer}/content?simplify")
        assert (content["StudyInstanceUID"], content["PatientName"]) == (STUDY, "Wang^Fang=王^芳")

        request = urllib.request.Request(f"http://127.0.0.1:{http}/studies/{study}", method="DELETE")
        urllib.request.urlopen(request, timeout=30).close()
        assert _rest(http, "/instances") == []
        _rest(http, f"/queries/{query['ID']}/answers/{answer}/retrieve", b"ORTHANC")
        assert len(_rest(http, "/instances")) == 3


@needs_orthanc
def test_we_send_to_orthanc_and_ask_it(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from serving.cli import app

    with called(tmp_path / "service") as running, _orthanc(tmp_path / "orthanc", running) as (http, dicom):
        ct(tmp_path / "ct")
        (tmp_path / "ct" / "notes.txt").write_text("no image")
        place = f"ORTHANC@127.0.0.1:{dicom}"
        done = CliRunner().invoke(app, ["send", str(tmp_path / "ct"), "--to", place])
        assert (done.exit_code, done.stdout.count("stored  "), done.stdout.count("failed  ")) == (1, 3, 1)
        (tmp_path / "ct" / "notes.txt").unlink()
        done = CliRunner().invoke(app, ["send", str(tmp_path / "ct"), "--to", place])
        assert done.exit_code == 0
        assert len(_rest(http, "/instances")) == 3
        asked = CliRunner().invoke(app, ["query", place, "PatientID=P*", "--json"])
        assert asked.exit_code == 0
        (hit,) = [json.loads(line) for line in asked.stdout.splitlines()]
        assert hit["0020000D"]["Value"] == [STUDY]
        table = CliRunner().invoke(app, ["query", place, "--level", "series", f"StudyInstanceUID={STUDY}"])
        assert "CT" in table.stdout
        assert Calling("X").title == "X"


def test_who_is_not_there_and_what_is_no_place_are_told(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from serving.cli import app

    (path,) = ct(tmp_path, n_slices=1)
    nobody = f"PACS@127.0.0.1:{_free_port()}"
    for words, code in (
        (["send", str(path), "--to", nobody], 2),
        (["query", nobody], 2),
        (["send", str(path), "--to", "PACS@nowhere"], 2),
        (["query", nobody, "PatientId=4"], 2),
        (["query", nobody, "PatientID"], 2),
        (["send", str(tmp_path / "missing"), "--to", nobody], 2),
    ):
        assert CliRunner().invoke(app, words).exit_code == code, words
