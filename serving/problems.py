"""Every error as a problem document (RFC 9457): a code for programs, a sentence for people."""

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from serving.errors import Problem, ServiceError
from serving.outcomes import MEDIA_TYPE as FHIR_MEDIA_TYPE
from serving.outcomes import FhirRefusedError, Issue, is_of_fhir, operation_outcome

MEDIA_TYPE = "application/problem+json"

# What is away for a moment (RFC 9110, 10.2.3): a sender that waits this long need not ask many times.
_RETRY_AFTER_S = 5

_PROBLEM_OF_STATUS = {
    HTTPStatus.NOT_FOUND: Problem.NOT_FOUND,
    HTTPStatus.METHOD_NOT_ALLOWED: Problem.METHOD_NOT_ALLOWED,
    HTTPStatus.NOT_ACCEPTABLE: Problem.NOT_ACCEPTABLE,
    HTTPStatus.BAD_REQUEST: Problem.INVALID_REQUEST,
}


class RejectedFileProblem(BaseModel):
    """One file of an upload that could not be taken."""

    file: str
    status: str = "rejected"
    reason: str
    problem: str
    remedy: str
    quarantine: str | None = Field(default=None, description="Key of the entry that lists it.")
    kept: bool = Field(default=False, description="Whether that entry has its bytes.")


class ProblemDocument(BaseModel):
    """What went wrong with a request (RFC 9457); some kinds of problem have further members."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Names the kind of problem; stable.")
    title: str
    status: int
    detail: str = Field(description="What was wrong and what to do.")
    instance: str = Field(description="The request's path.")
    code: str = Field(description="The stable code alone.")
    request_id: str = Field(description="Stands in the server's log.")
    rejected: list[RejectedFileProblem] = Field(default=[], description="The files concerned.")


# What any operation may answer; the interface's description shows it for each.
RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {
        "model": ProblemDocument,
        "description": "The request could not be met.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    },
    "5XX": {
        "model": ProblemDocument,
        "description": "The server could not meet the request.",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    },
}


def answer_with_problems(
    app: FastAPI, *, page: Callable[[Request, ServiceError], Response | None] = lambda *_: None
) -> None:
    """Let `app` answer every error with a problem document, unless `page` has a page for a browser."""

    @app.exception_handler(ServiceError)
    def _service_error(request: Request, error: ServiceError) -> Response:
        shown = page(request, error)
        if shown is not None:
            return shown
        rejected = [
            RejectedFileProblem(
                file=line.file,
                reason=line.reason,
                problem=line.problem,
                remedy=line.remedy,
                quarantine=line.quarantine,
                kept=line.is_kept,
            )
            for line in error.rejected
        ]
        answer = document(
            request,
            error.problem,
            error.status,
            error.detail,
            rejected,
            members=error.members,
            issues=error.issues if isinstance(error, FhirRefusedError) else (),
        )
        answer.headers.update(error.headers)
        return answer

    @app.exception_handler(RequestValidationError)
    def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = "; ".join(
            f"{'.'.join(str(part) for part in fault['loc'])}: {fault['msg']}" for fault in error.errors()
        )
        return document(request, Problem.INVALID_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY, f"{faults}.")

    @app.exception_handler(HTTPException)
    def _refused(request: Request, error: HTTPException) -> JSONResponse:
        status = HTTPStatus(error.status_code)
        problem = _PROBLEM_OF_STATUS.get(status, Problem.FAILED)
        detail = {
            Problem.NOT_FOUND: f"There is nothing at {request.url.path}.",
            Problem.METHOD_NOT_ALLOWED: f"{request.url.path} does not take {request.method}.",
        }.get(problem, str(error.detail))
        answer = document(request, problem, status, detail)
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(Exception)
    def _failed(request: Request, _error: Exception) -> JSONResponse:  # serving.telemetry.access logs it
        return document(
            request,
            Problem.FAILED,
            HTTPStatus.INTERNAL_SERVER_ERROR,
            "The server failed; what was acknowledged is safe. Try again; tell the operator the request id.",
        )


def document(
    request: Request,
    problem: Problem,
    status: int,
    detail: str,
    rejected: list[RejectedFileProblem] | None = None,
    *,
    members: Mapping[str, object] | None = None,
    issues: Sequence[Issue] = (),
) -> JSONResponse:
    """Write a problem down: as an OperationOutcome where FHIR is spoken."""
    headers = {"Cache-Control": "no-store"}
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(_RETRY_AFTER_S)
    if is_of_fhir(request.url.path):
        outcome = operation_outcome(problem, detail, request_id=request_id(request), issues=issues)
        return JSONResponse(outcome, status_code=status, media_type=FHIR_MEDIA_TYPE, headers=headers)
    body = ProblemDocument(
        type=f"urn:firstread:problem:{problem}",
        title=problem.replace("-", " ").capitalize(),
        status=status,
        detail=detail,
        instance=request.url.path,
        code=problem,
        request_id=request_id(request),
        rejected=rejected or [],
    )
    return JSONResponse(
        {**(members or {}), **body.model_dump(mode="json")},
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=headers,
    )


def request_id(request: Request) -> str:
    """Give the id under which a request stands in the log."""
    return str(request.scope.get("firstread.request_id", ""))
