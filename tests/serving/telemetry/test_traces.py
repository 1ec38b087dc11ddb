import gzip
import http.server
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from data.study import Modality
from serving.errors import StartError
from serving.telemetry.traces import NO_TRACES, opened_traces
from tests.journeys.process import PATIENCE_S, ROOT, environment, started
from tests.serving.telemetry.secrets import addresses, found_in, uploads
from tests.tiny_model import write_tiny_artifact


@contextmanager
def collector() -> Iterator[tuple[str, list[bytes]]]:
    """Take spans as a collector does: OTLP over HTTP."""
    received: list[bytes] = []

    class Take(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            received.append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/traces", received
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def spans_of(received: list[bytes]) -> list[Span]:
    return [
        span
        for body in received
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def facts_of(span: Span) -> dict[str, str]:
    return {
        one.key.removeprefix("firstread."): one.value.string_value or str(one.value.int_value)
        for one in span.attributes
    }


def test_requests_receipts_and_scorings_are_traced_without_a_patients_data(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"), modalities=tuple(Modality))
    with collector() as (address, received):
        with started(
            "serve",
            "--models",
            str(models),
            home=tmp_path / "home",
            log=tmp_path / "log",
            FIRSTREAD_TRACES=address,
        ) as program:
            for sent in uploads():
                program.post(*sent.files, **sent.fields)
            for path in addresses():
                with pytest.raises(OSError, match="HTTP Error"):
                    urllib.request.urlopen(program.address.rstrip("/") + path, timeout=PATIENCE_S)
            request = urllib.request.Request(
                f"{program.address}healthz",
                headers={"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
            )
            urllib.request.urlopen(request, timeout=PATIENCE_S).close()
            entries = program.wait_until_scored(3)
            program.process.terminate()
            assert program.process.wait(PATIENCE_S) == 0
        spans = spans_of(received)
    assert found_in("".join(str(span) for span in spans)) == []
    assert found_in(b"".join(received).decode("utf-8", "replace")) == []
    by_name: dict[str, list[Span]] = {}
    for span in spans:
        by_name.setdefault(span.name, []).append(span)
    assert {"POST /api/v1/studies", "GET /api/v1/studies/{study}", "receipt", "scoring"} <= set(by_name)
    parents = {span.span_id: span.name for span in spans}
    assert {parents[span.parent_span_id] for span in by_name["receipt"]} == {"POST /api/v1/studies"}
    assert {facts_of(span)["study"] for span in by_name["scoring"]} == {entry["id"] for entry in entries}
    assert {facts_of(span)["status"] for span in by_name["POST /api/v1/studies"]} >= {"201", "422"}
    refused = [span for span in by_name["receipt"] if "error" in facts_of(span)]
    assert "ServiceError: nothing-taken" in {facts_of(span)["error"] for span in refused}
    (followed,) = [span for span in by_name["GET /healthz"] if span.parent_span_id]
    assert followed.trace_id.hex() == "0af7651916cd43dd8448eb211c80319c"


def test_without_a_collector_nothing_of_it_is_loaded(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from serving.hosting.service import running\n"
        "from serving.settings import Settings\n"
        "from starlette.testclient import TestClient\n"
        "if __name__ == '__main__':\n"
        f"    settings = Settings(home={str(tmp_path)!r}, models='/none')\n"
        "    with running(settings, with_sign_in=False) as service:\n"
        "        TestClient(service.app, 'http://localhost').get('/healthz').raise_for_status()\n"
        "        print([name for name in sys.modules if name.startswith('opentelemetry.') and "
        "('.sdk' in name or '.exporter' in name)])\n"
    )
    for variables in ({}, {"FIRSTREAD_TRACES": "off", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=environment(None, PYTHONPATH=str(ROOT), **variables),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_collector_that_is_away_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with opened_traces("http://127.0.0.1:1/v1/traces", version="test") as traces:
        with traces.span("a") as span:
            span.say(n=1)
        with pytest.raises(ValueError, match="b"), traces.span("b"):
            raise ValueError("b")
    with opened_traces("", version="test") as silent:
        assert silent is NO_TRACES


def test_a_collector_that_is_named_without_the_library_is_said_to_need_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with (
        pytest.raises(StartError, match=r"pip install 'firstread\[traces\]'"),
        opened_traces("http://127.0.0.1:1/v1/traces", version="test"),
    ):
        pytest.fail("it was opened")
