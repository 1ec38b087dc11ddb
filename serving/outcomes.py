"""What goes wrong at a FHIR address, said as FHIR says it: an OperationOutcome.

References
----------
FHIR R4: OperationOutcome, value set issue-type; http.html 3.1.0.1.9 (content types), 3.1.0.8.1 (rejecting).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.errors import Problem, ServiceError

MEDIA_TYPE = "application/fhir+json"

# What a problem is called in the value set issue-type; what is not here is a fault of the request.
_KIND: Mapping[Problem, str] = {
    Problem.SIGN_IN_NEEDED: "login",
    Problem.CREDENTIAL_REFUSED: "security",
    Problem.NOT_ALLOWED: "forbidden",
    Problem.NO_SITE: "forbidden",
    Problem.FOREIGN_PAGE: "security",
    Problem.PAGE_TOKEN_WRONG: "security",
    Problem.NOT_FOUND: "not-found",
    Problem.METHOD_NOT_ALLOWED: "not-supported",
    Problem.NOT_ACCEPTABLE: "not-supported",
    Problem.UNSUPPORTED_MEDIA_TYPE: "not-supported",
    Problem.CONFLICT: "conflict",
    Problem.PRECONDITION_FAILED: "conflict",
    Problem.BODY_TOO_LARGE: "too-long",
    Problem.ADDRESS_TOO_LONG: "too-long",
    Problem.HEADERS_TOO_LARGE: "too-long",
    Problem.TOO_MANY_REQUESTS: "throttled",
    Problem.UPLOAD_TOO_SLOW: "timeout",
    Problem.DATABASE_UNAVAILABLE: "transient",
    Problem.STORAGE_FULL: "no-store",
    Problem.FAILED: "exception",
}


@dataclass(frozen=True, slots=True)
class Issue:
    """One thing that is wrong: its kind (issue-type), a sentence, and the element as a FHIRPath."""

    kind: str
    text: str
    expression: str = ""


class FhirRefusedError(ServiceError):
    """A resource is not taken; each thing that is wrong with it is an issue."""

    def __init__(self, problem: Problem, issues: Sequence[Issue]) -> None:
        super().__init__(problem, " ".join(issue.text for issue in issues))
        self.issues = tuple(issues)


def is_of_fhir(path: str) -> bool:
    """Whether an address answers as FHIR does.

    Examples
    --------
    >>> is_of_fhir("/fhir/metadata"), is_of_fhir("/fhirs")
    (True, False)
    """
    return path == "/fhir" or path.startswith("/fhir/")


def operation_outcome(
    problem: Problem, detail: str, *, request_id: str, issues: Sequence[Issue] = ()
) -> dict[str, object]:
    """Write an OperationOutcome."""
    named = issues or [Issue(_KIND.get(problem, "invalid"), detail)]
    return {
        "resourceType": "OperationOutcome",
        "issue": [
            {
                "severity": "error",
                "code": issue.kind,
                "details": {
                    "coding": [{"system": "urn:firstread:problem", "code": str(problem)}],
                    "text": issue.text,
                },
                **({"diagnostics": f"request {request_id}"} if request_id else {}),
                **({"expression": [issue.expression]} if issue.expression else {}),
            }
            for issue in named
        ],
    }
