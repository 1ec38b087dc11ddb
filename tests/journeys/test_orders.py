"""The whole way of an order: its sender is entered, it comes by MLLP, and its study moves."""

import re
import subprocess
import time
from pathlib import Path

import pydicom
from hl7.client import MLLPClient

from data.phantoms import write_sample_studies
from tests.journeys.process import PATIENCE_S, ROOT, command, environment, started
from tests.serving.orders.messages import orm


def test_an_order_by_mllp_moves_the_study_of_its_accession_number(tmp_path: Path) -> None:
    (path,) = write_sample_studies(tmp_path / "phantoms", seed=1, n_skin=0, n_chest=1, n_head=0)
    dataset = pydicom.dcmread(path)
    dataset.PatientID, dataset.IssuerOfPatientID, dataset.AccessionNumber = "P1", "HOSP", "ACC1"
    dataset.save_as(tmp_path / "chest.dcm")
    home = tmp_path / "home"
    with started(
        "serve", "--workers", "0", home=home, log=tmp_path / "log", FIRSTREAD_HL7_PORT="0"
    ) as program:
        port = _port(program.log)
        with MLLPClient("127.0.0.1", port) as stranger:
            assert stranger.send_message(orm().encode()) == b""  # nobody is entered yet
        added = subprocess.run(
            command("admin", "hl7-senders", "add", "--site", "local", "--network", "127.0.0.1"),
            cwd=ROOT,
            env=environment(home),
            capture_output=True,
            text=True,
            check=False,
        )
        assert added.returncode == 0, added.stderr
        status, sent = program.post(("chest.dcm", (tmp_path / "chest.dcm").read_bytes()))
        assert status == 201
        (study,) = sent["studies"]
        assert program.get(study["url"])["priority"] == "routine"
        with MLLPClient("127.0.0.1", port) as sender:
            answer = sender.send_message(orm(charset="GB 18030-2000", question="咳嗽").encode("gb18030"))
        assert b"MSA|AA|1" in answer
        shown = program.get(study["url"])
        (order,) = shown["orders"]
        assert (shown["priority"], order["question"], order["counts"]) == ("stat", "咳嗽", True)
    log = program.log.read_text(encoding="utf-8")
    assert "Traceback" not in log
    assert not any(word in log for word in ("Wang", "王", "咳嗽"))


def _port(log: Path) -> int:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        found = re.search(r"orders by HL7: mllp://127\.0\.0\.1:(\d+)", log.read_text(encoding="utf-8"))
        if found:
            return int(found[1])
        time.sleep(0.05)
    raise TimeoutError(log.read_text(encoding="utf-8"))
