"""/healthz, /readyz, /metrics: for the operator and the machines that watch; each answers in bounded time."""

from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from serving.errors import Problem, ServiceError
from serving.operations.figures import Figures
from serving.operations.schemas import (
    DicomHealth,
    Health,
    ModelHealth,
    Readiness,
    ReadyCheck,
    ScoringHealth,
    WorkerHealth,
)
from serving.operations.service import Check, Operations
from serving.operations.watch import Watch, seen_within

# Load balancers and systemd give up after 5 to 10 s.
SECONDS_TO_CHECK = 3.0

# That it lives is said whatever the database does.
_SECONDS_TO_ASK = 1.0


def build_router(operations: Operations, metrics: CollectorRegistry) -> APIRouter:
    """Serve `operations` over HTTP, its figures beside those that `metrics` has already."""
    router = APIRouter(tags=["operations"])
    Figures(operations, metrics)
    checks = {name: Watch(check) for name, check in operations.checks.items()}
    writing = Watch(lambda: generate_latest(metrics))
    asking = Watch(lambda: _scoring(operations))

    # None of these waits for a thread that serves requests: all of those may wait for what is broken. (Before
    # /metrics is asked, the gate finds out by whom, and needs such a thread.)

    @router.get("/healthz", summary="Is it alive")
    async def read_health() -> Health:
        """Say that the service lives, which models it holds, who scores and on what."""
        (scoring,) = await seen_within([asking], _SECONDS_TO_ASK)
        return Health(
            version=operations.version,
            provider=operations.provider,
            scoring=scoring or ScoringHealth(state="unknown", workers=[]),
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
            dicom=_dicom(operations),
            seconds_up=round(operations.seconds_up(), 1),
        )

    @router.get(
        "/readyz",
        summary="Can it work",
        responses={503: {"model": Readiness, "description": "It cannot; the checks say why."}},
    )
    async def read_readiness(response: Response) -> Readiness:
        """Check that rows and images can be written, that scoring goes on and that the models are whole.

        What does not answer within three seconds is not good.
        """
        seen = await seen_within(list(checks.values()), SECONDS_TO_CHECK)
        results = [
            check or Check(name, is_good=False, detail=f"has not answered for {SECONDS_TO_CHECK:g} s")
            for name, check in zip(checks, seen, strict=True)
        ]
        is_ready = all(check.is_good for check in results)
        if not is_ready:
            response.status_code = HTTPStatus.SERVICE_UNAVAILABLE
        return Readiness(
            status="ready" if is_ready else "not ready",
            checks=[
                ReadyCheck(name=check.name, good=check.is_good, detail=check.detail) for check in results
            ],
        )

    @router.get("/metrics", summary="Figures", response_class=Response)
    async def read_metrics() -> Response:
        """Give figures in the text format of Prometheus."""
        (text,) = await seen_within([writing], SECONDS_TO_CHECK)
        if text is None:
            raise ServiceError(
                Problem.FAILED, f"The figures were not there after {SECONDS_TO_CHECK:g} s: see /readyz."
            )
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    return router


def _dicom(operations: Operations) -> DicomHealth | None:
    if operations.dicom is None:
        return None
    figures = operations.dicom()
    return DicomHealth(
        title=figures.title,
        port=figures.port,
        tls=figures.is_tls,
        listening=figures.is_listening,
        associations=figures.n_associations,
    )


def _scoring(operations: Operations) -> ScoringHealth:
    """Say whether scoring runs; who paused it and why is for those who are signed in."""
    switch, living = operations.scoring_switch(), operations.live_workers()
    state: Literal["running", "paused", "none", "unknown"] = "running" if living else "none"
    if switch is None:
        state = "unknown"
    elif switch.is_paused:
        state = "paused"
    return ScoringHealth(
        state=state,
        workers=[WorkerHealth(provider=one.provider, processes=one.n_processes) for one in living],
    )
