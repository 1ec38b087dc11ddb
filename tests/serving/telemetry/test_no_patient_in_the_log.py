import io
import json
import logging
import threading
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.study import Modality
from serving.telemetry.lines import JsonLines, TextLines
from serving.telemetry.logs import LogTerms, start_logs
from serving.worklist.service import Worklist
from tests.journeys.process import PATIENCE_S, Program, started
from tests.serving.service_in_process import Service, in_process
from tests.serving.telemetry.secrets import SECRETS, addresses, found_in, uploads
from tests.tiny_model import write_tiny_artifact


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Give what the log of this process gets, in JSON and with everything that is ever logged."""
    root = logging.getLogger()
    kept, level = root.handlers[:], root.level
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr("sys.excepthook", None)
    monkeypatch.setattr("sys.unraisablehook", None)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setenv("FIRSTREAD_LOG_FORMAT", "")
    monkeypatch.setenv("FIRSTREAD_LOG_LEVEL", "")
    stream = io.StringIO()
    start_logs(LogTerms("json", "debug"), stream)
    yield stream
    root.handlers[:] = kept
    root.setLevel(level)


@pytest.fixture
def service(tmp_path: Path, log: io.StringIO) -> Iterator[Service]:
    assert log.getvalue() == ""
    with in_process(tmp_path) as service:
        yield service


def lines(log: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_the_uploads_hold_every_secret() -> None:
    held = b"".join(
        name.encode() + content + json.dumps(sent.fields, ensure_ascii=False).encode()
        for sent in uploads()
        for name, content in sent.files
    )
    absent = [one for one in SECRETS if one.encode() not in held and one.encode("gb18030") not in held]
    assert absent == []


def test_no_line_of_a_service_at_work_holds_a_patients_data(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"), modalities=tuple(Modality))
    with started(
        "serve",
        "--models",
        str(models),
        home=tmp_path / "home",
        log=tmp_path / "log",
        FIRSTREAD_LOG_FORMAT="json",
        FIRSTREAD_LOG_LEVEL="debug",
        PYTHONWARNINGS="always",
    ) as program:
        statuses = [program.post(*sent.files, **sent.fields)[0] for sent in uploads()]
        assert {201, 422} <= set(statuses)
        for address in addresses():
            _ask(program, address)
        entries = program.wait_until_scored(3)
        assert "failed" in {entry["state"] for entry in entries}
        for entry in entries:
            _ask(program, entry["url"])
            _ask(program, (entry["key_image"] or entry["cover"])["rendered"])
        metrics = _ask(program, "/metrics")
        assert "firstread_" in metrics
        assert found_in(metrics) == []
        program.process.terminate()
        assert program.process.wait(PATIENCE_S) == 0
        text = program.log.read_text(encoding="utf-8")
    assert found_in(text) == []
    written = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    spoken = [line for line in text.splitlines() if not line.startswith("{")]
    assert [line for line in spoken if "Traceback" in line or "Error" in line] == []
    assert {line["service"] for line in written} == {"firstread"}
    requests = [line for line in written if line["message"] == "request"]
    assert {"method", "route", "status", "ms", "bytes_in", "bytes_out", "caller", "request_id"} <= set(
        requests[0]
    )
    assert "/api/v1/studies/{study}" in {line["route"] for line in requests}
    assert "(none)" in {line["route"] for line in requests}
    assert {line["study"] for line in requests if "study" in line} >= {entry["id"] for entry in entries}
    assert any(line.get("reason") and line.get("study") for line in written)  # the study that failed


def test_an_error_that_nobody_expected_is_told_by_its_kind_and_place(
    service: Service, log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: object, **__: object) -> None:
        with service.database.writing() as connection:
            try:
                int("Schlagintweit 张三丰")
            except ValueError:
                connection.exec_driver_sql("SELECT * FROM none WHERE a = ?", ("MRN8675309",))

    monkeypatch.setattr(Worklist, "read", break_down)
    answer = service.client.get("/api/v1/worklist", headers={"X-Request-Id": "r-1"})
    assert answer.status_code == 500
    assert answer.headers["x-request-id"] == "r-1"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert found_in(log.getvalue()) == []
    (failure,) = [line for line in lines(log) if line["message"] == "a request failed"]
    assert failure["request_id"] == "r-1"
    assert failure["route"] == "/api/v1/worklist"
    assert str(failure["error"]).startswith("['sqlalchemy.exc.OperationalError: sqlite3.OperationalError")
    assert "ValueError" in str(failure["error"])
    assert "break_down" in str(failure["stack"])
    (request,) = [line for line in lines(log) if line["message"] == "request"]
    assert (request["status"], request["level"]) == (500, "WARNING")


def test_what_libraries_say_is_withheld_and_their_place_told(log: io.StringIO) -> None:
    for name in ("PIL.PngImagePlugin", "PIL.TiffImagePlugin", "asyncio", "sqlalchemy.engine", "database"):
        logging.getLogger(name).error("Invalid value for VR PN: %s", "张三丰")
        logging.getLogger(name).error("Invalid value 'Zhangsanfeng'")
        logging.getLogger(name).warning("Invalid value 'Zhangsanfeng'")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("Invalid value 'Zhangsanfeng'", UserWarning, stacklevel=1)
    assert found_in(log.getvalue()) == []
    messages = [line["message"] for line in lines(log)]
    assert len([one for one in messages if "withheld (test_no_patient" in str(one)]) == 10
    assert len([one for one in messages if str(one).startswith("UserWarning at test_no_patient")]) == 1

    # pydicom's are withheld too, or dropped altogether once data.dicom was loaded
    logging.getLogger("pydicom").error("Invalid value for VR PN: %s", "张三丰")
    assert found_in(log.getvalue()) == []


def test_errors_in_messages_arguments_and_threads_are_described(log: io.StringIO) -> None:
    ours = logging.getLogger("serving.intake.service")
    error = ValueError("张三丰")
    ours.error("it failed: %s, %r", error, error)
    ours.error("by name: %(error)s", {"error": OSError(28, "No space", "/home/Zhangsanfeng")})
    ours.error(error)
    ours.warning("an unknown field", extra={"patient": "Zhangsanfeng", "reason": "truncated"})

    def fail() -> None:
        raise KeyError("张三丰")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert found_in(log.getvalue()) == []
    assert [line["message"] for line in lines(log)] == [
        "it failed: ValueError, ValueError",
        "by name: OSError: No space left on device",
        "ValueError",
        "an unknown field",
        "a thread ends by an error nobody expected",
    ]
    assert lines(log)[3]["reason"] == "truncated"
    assert lines(log)[4]["error"] == ["KeyError"]


def test_a_wrong_call_does_not_print_its_arguments() -> None:
    record = logging.LogRecord("serving.x", logging.INFO, "x.py", 1, "a number: %d", ("Zhangsanfeng",), None)
    assert json.loads(JsonLines().format(record))["message"] == "a number: %d"


def test_a_line_of_text_is_one_line_whatever_a_sender_writes() -> None:
    record = logging.LogRecord("serving.x", logging.INFO, "x.py", 1, "a\n2026 forged \x1b[31m", None, None)
    line = TextLines().format(record)
    assert "\n" not in line
    assert "\x1b" not in line
    assert "a\\x0a2026 forged" in line


def _ask(program: Program, path: str) -> str:
    request = urllib.request.Request(
        program.address.rstrip("/") + path,
        headers={"User-Agent": "Zhangsanfeng", "Referer": "http://MRN8675309/"},
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return str(answer.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        return str(error.read().decode("utf-8", "replace"))
