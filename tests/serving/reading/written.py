"""What readers of tests write: drafts that can be signed, and the short way from a claim to a signature."""

from typing import Any

from httpx2 import Response
from starlette.testclient import TestClient

MELANOMA = {"scheme": "SCT", "code": "93655004"}
NAEVUS = {"scheme": "ICD-10", "code": "D22.9"}


def content(**more: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever the test sends
    return {"diagnosis": MELANOMA, "action": "biopsy", "note": "irregular border"} | more


def save(client: TestClient, study: str, after: int | None = None, **more: Any) -> Response:  # noqa: ANN401
    headers = {} if after is None else {"If-Match": f'"{after}"'}
    return client.put(f"/api/v1/studies/{study}/read", json=content(**more), headers=headers)


def shown(client: TestClient, study: str) -> dict[str, Any]:
    """Give what a signature must say that its reader was shown."""
    detail = client.get(f"/api/v1/studies/{study}").json()
    score = detail["score"]
    return {
        "seen_revision": detail["revision"],
        "seen_images": len(detail["images"]),
        "seen_score": None if score is None else score["id"],
    }


def sign(client: TestClient, study: str, version: int = 1, **more: Any) -> Response:  # noqa: ANN401
    body = {"version": version, **shown(client, study), **more}
    return client.post(f"/api/v1/studies/{study}/read/sign", json=body)


def claim(client: TestClient, study: str) -> Response:
    return client.post(f"/api/v1/studies/{study}/claim")


def read(client: TestClient, study: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401
    """Claim, save and sign."""
    assert claim(client, study).status_code in {200, 201}
    assert save(client, study, **more).status_code == 200
    signed = sign(client, study)
    assert signed.status_code == 200, signed.text
    answer: dict[str, Any] = signed.json()
    return answer


def history(client: TestClient, study: str) -> dict[str, Any]:
    answer: dict[str, Any] = client.get(f"/api/v1/studies/{study}/reads").json()
    return answer
