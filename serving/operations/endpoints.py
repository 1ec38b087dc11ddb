"""/healthz, /readyz, /metrics: for the operator and the machines that watch."""

from collections.abc import Iterator
from http import HTTPStatus

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from serving.operations.schemas import Health, ModelHealth, Readiness, ReadyCheck
from serving.operations.service import Operations


def build_router(operations: Operations) -> APIRouter:
    """Serve `operations` over HTTP."""
    router = APIRouter(tags=["operations"])
    metrics = CollectorRegistry()
    metrics.register(_Figures(operations))

    @router.get("/healthz", summary="Is it alive")
    def read_health(response: Response) -> Health:
        """Say that the service lives, which models it holds and on what they run."""
        response.headers["Cache-Control"] = "no-store"
        return Health(
            version=operations.version,
            provider=operations.provider,
            models=[
                ModelHealth(
                    name=artifact.card.name,
                    version=artifact.card.version,
                    onnx_sha256=artifact.card.onnx_sha256,
                    int8_sha256=artifact.card.variants and artifact.card.variants.int8_sha256,
                    modalities=list(artifact.card.applies_to.modalities),
                )
                for artifact in operations.models()
            ],
            refused_models=operations.refused_models(),
            seconds_up=round(operations.seconds_up(), 1),
        )

    @router.get(
        "/readyz",
        summary="Can it work",
        responses={503: {"model": Readiness, "description": "It cannot; the checks say why."}},
    )
    def read_readiness(response: Response) -> Readiness:
        """Check that rows and images can be written, that scoring goes on and that the models are whole."""
        response.headers["Cache-Control"] = "no-store"
        checks = operations.checks()
        is_ready = all(check.is_good for check in checks)
        if not is_ready:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Readiness(
            status="ready" if is_ready else "not ready",
            checks=[ReadyCheck(name=check.name, good=check.is_good, detail=check.detail) for check in checks],
        )

    @router.get("/metrics", summary="Figures", response_class=Response)
    def read_metrics() -> Response:
        """Give figures in the text format of Prometheus."""
        return Response(generate_latest(metrics), media_type=CONTENT_TYPE_LATEST)

    return router


class _Figures(Collector):
    """Reads the figures when they are asked for, so that nobody has to keep them."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations

    def collect(self) -> Iterator[Metric]:
        studies = GaugeMetricFamily("firstread_studies", "Studies by state.", labels=["state"])
        for state, count in sorted(self._operations.studies_by_state().items()):
            studies.add_metric([state], count)
        yield studies
        rejected = CounterMetricFamily(
            "firstread_rejected_files", "Files refused since the start, by reason.", labels=["reason"]
        )
        for reason, count in sorted(self._operations.rejections().items()):
            rejected.add_metric([reason], count)
        yield rejected
        yield GaugeMetricFamily(
            "firstread_scoring_processes", "Scoring processes.", value=self._operations.n_workers()
        )
        yield GaugeMetricFamily(
            "firstread_up_seconds", "Seconds since the start.", value=self._operations.seconds_up()
        )

    def describe(self) -> Iterator[Metric]:
        return iter(())
