"""Spans of requests, receipts and scorings for OpenTelemetry, where an operator collects traces.

Nothing of it is loaded, and nobody is called, unless ``FIRSTREAD_TRACES`` or ``OTEL_EXPORTER_OTLP_ENDPOINT``
names a collector. A span says what the log may say: routes, studies' keys, kinds of errors, never their
texts.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Protocol

from serving.errors import StartError
from serving.telemetry.faults import describe

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OpenTelemetrySpan

OFF = "off"
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_MOST_MS = 3000

Value = str | int | float


class Span(Protocol):
    """A piece of work that is under way."""

    def rename(self, name: str) -> None:
        """Give it the name that is known only now."""

    def say(self, **facts: Value) -> None:
        """Say something of it."""

    def failed(self) -> None:
        """Say that it failed, where no error tells."""


class Traces(Protocol):
    """Where spans go."""

    def span(
        self, name: str, *, headers: Mapping[str, str] | None = None, **facts: Value
    ) -> AbstractContextManager[Span]:
        """Open a span within the one that is open; with `headers`, that of a request, within its sender's."""


class _Silent:
    def rename(self, name: str) -> None:
        """Say nothing."""

    def say(self, **facts: Value) -> None:
        """Say nothing."""

    def failed(self) -> None:
        """Say nothing."""


class NoTraces:
    """Goes nowhere."""

    def span(
        self, name: str, *, headers: Mapping[str, str] | None = None, **facts: Value
    ) -> AbstractContextManager[Span]:
        """Open nothing."""
        del name, headers, facts
        return nullcontext(_Silent())


NO_TRACES = NoTraces()


@contextmanager
def opened_traces(collector: str, *, version: str) -> Iterator[Traces]:
    """Open the way to a collector, and send what is left at the end, for three seconds at most.

    Parameters
    ----------
    collector : str
        Its address for spans, such as ``http://127.0.0.1:4318/v1/traces``; ``off``; or empty, for what
        OpenTelemetry's own variables say.
    version : str
        Of this program.

    Raises
    ------
    StartError
        If OpenTelemetry is not installed.
    """
    if collector == OFF or not (collector or any(os.environ.get(name) for name in _ENDPOINTS)):
        yield NO_TRACES
        return
    try:
        # These take 20 MB, for those who collect traces.
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError as error:
        raise StartError(
            "a collector of traces is named, and OpenTelemetry is not installed: pip install "
            "'firstread[traces]', or set FIRSTREAD_TRACES=off."
        ) from error
    resource = Resource.create({"service.name": "firstread", "service.version": version})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=collector or None)))
    try:
        yield _OpenTelemetry(provider)
    finally:
        provider.force_flush(_MOST_MS)
        provider.shutdown()


class _Told:
    def __init__(self, span: "OpenTelemetrySpan") -> None:
        self._span = span

    def rename(self, name: str) -> None:
        self._span.update_name(name)

    def say(self, **facts: Value) -> None:
        for name, value in facts.items():
            self._span.set_attribute(f"firstread.{name}", value)

    def failed(self) -> None:
        from opentelemetry.trace import StatusCode  # noqa: PLC0415

        self._span.set_status(StatusCode.ERROR)


class _OpenTelemetry:
    def __init__(self, provider: "TracerProvider") -> None:
        from opentelemetry.trace.propagation.tracecontext import (  # noqa: PLC0415
            TraceContextTextMapPropagator,
        )

        self._tracer = provider.get_tracer("firstread")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def span(self, name: str, *, headers: Mapping[str, str] | None = None, **facts: Value) -> Iterator[Span]:
        from opentelemetry.trace import SpanKind  # noqa: PLC0415

        is_request = headers is not None
        with self._tracer.start_as_current_span(
            name,
            context=self._propagator.extract(dict(headers)) if headers is not None else None,
            kind=SpanKind.SERVER if is_request else SpanKind.INTERNAL,
            record_exception=False,  # its text may quote what was read
            set_status_on_exception=False,
        ) as span:
            told = _Told(span)
            told.say(**facts)
            try:
                yield told
            except BaseException as error:
                told.say(error=describe(error))
                told.failed()
                raise
