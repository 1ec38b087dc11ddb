"""Every address that shows or changes study data leaves a row; one that is new must be entered here.

Those of DICOMweb need studies with series, and their rows are tested with them (tests/serving/dicomweb).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from serving.store.audit import read_rows
from serving.store.audit_chain import Action, AuditRow
from tests.serving.service_in_process import Service, in_process, photograph

STUDY = "/api/v1/studies/{study}"
FRAME = f"{STUDY}/instances/{{sop_instance_uid}}/frames/{{frame}}"

LEAVES_A_ROW = {
    ("POST", "/api/v1/studies"): Action.RECEIVED,
    ("POST", "/send"): Action.RECEIVED,
    ("GET", "/api/v1/worklist"): Action.VIEWED_LIST,
    ("GET", "/"): Action.VIEWED_LIST,
    ("GET", "/api/v1/discrepancies"): Action.VIEWED_LIST,
    ("GET", "/api/v1/operations/stuck"): Action.VIEWED_LIST,
    ("GET", STUDY): Action.VIEWED_STUDY,
    ("GET", "/studies/{study}"): Action.VIEWED_STUDY,
    ("GET", f"{STUDY}/consent"): Action.VIEWED_STUDY,
    ("PUT", f"{STUDY}/consent"): Action.CONSENT_CHANGED,
    ("POST", "/studies/{study}/consent"): Action.CONSENT_CHANGED,
    ("POST", f"{STUDY}/claim"): Action.CLAIMED,
    ("POST", "/studies/{study}/claim"): Action.CLAIMED,
    ("GET", f"{STUDY}/claim"): Action.VIEWED_STUDY,
    ("GET", f"{STUDY}/reads"): Action.VIEWED_STUDY,
    ("GET", f"{FRAME}/rendered"): Action.VIEWED_IMAGE,
    ("GET", f"{FRAME}/thumbnail"): Action.VIEWED_IMAGE,
}

BODY: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", "/api/v1/studies"): {"files": {"files": ("mole.jpg", photograph(9))}},
    ("POST", "/send"): {"files": {"files": ("mole.jpg", photograph(9))}},
    ("PUT", f"{STUDY}/consent"): {"json": {"consent": "training"}},
    ("POST", "/studies/{study}/consent"): {"data": {"consent": "withdrawn"}},
}

SHOWS_NO_STUDY = {
    ("POST", "/fhir/ServiceRequest"): "an order; its rows are tested with the orders",
    ("GET", "/fhir/ServiceRequest"): "the same",
    ("GET", "/fhir/ServiceRequest/{order}"): "the same",
    ("PUT", "/fhir/ServiceRequest/{order}"): "the same",
    ("GET", "/fhir/metadata"): "what is understood of FHIR",
    ("OPTIONS", "/api/v1/uploads"): "what uploads can do",
    ("POST", "/api/v1/uploads"): "a file of which nothing has come yet",
    ("GET", "/api/v1/uploads/{upload}"): "a sender's own file on its way",
    ("PATCH", "/api/v1/uploads/{upload}"): "the same; the row of its last byte is tested with the uploads",
    ("DELETE", "/api/v1/uploads/{upload}"): "the same, dropped before it was an image",
    ("GET", "/api/v1/uploads/batches/{batch}"): "a sender's own files on their way",
    ("POST", "/api/v1/uploads/batches/{batch}/complete"): "its row is tested with the uploads",
    ("GET", "/api/v1/operations/scoring"): "whether scoring runs",
    ("POST", "/api/v1/operations/scoring/pause"): "no study; its row is tested with scoring's control",
    ("POST", "/api/v1/operations/scoring/resume"): "no study; its row is tested with scoring's control",
    ("POST", "/api/v1/operations/studies/{study}/retry"): "its row is tested with scoring's control",
    ("POST", "/api/v1/worklist/next"): "a claim; its row is tested with the claims, as the others of claims",
    ("POST", f"{STUDY}/claim/renew"): "a claim that lasts longer",
    ("POST", f"{STUDY}/claim/take-over"): "a claim that passes to another",
    ("DELETE", f"{STUDY}/claim"): "a claim that ends",
    ("GET", "/api/v1/claims"): "the caller's own claims",
    ("GET", f"{STUDY}/read"): "a draft; its row is tested with the drafts, as that of its save",
    ("PUT", f"{STUDY}/read"): "a draft, saved",
    ("POST", f"{STUDY}/read/sign"): "a read; its row is tested with signing",
    ("POST", f"{STUDY}/rank"): "a place in the queue; its row is tested with overriding",
    ("POST", "/next"): "a claim, as by the API",
    ("POST", "/studies/{study}/release"): "the same",
    ("POST", "/studies/{study}/read"): "a draft or a read, as by the API",
    ("GET", "/api/v1/codes"): "codes of diagnoses, of nobody",
    ("GET", "/api/v1/operations/workers"): "who scores",
    ("GET", "/api/v1/users"): "people who may sign in",
    ("POST", "/api/v1/users"): "somebody new; their row is tested with the people, as the others of users",
    ("GET", "/api/v1/users/{user}"): "somebody who may sign in",
    ("PATCH", "/api/v1/users/{user}"): "somebody, changed",
    ("PUT", "/api/v1/users/{user}/licence"): "somebody, with a licence",
    ("DELETE", "/api/v1/users/{user}/licence"): "somebody, without a licence",
    ("POST", "/api/v1/users/{user}/password-link"): "a link",
    ("GET", "/api/v1/sites"): "names of sites",
    ("POST", "/api/v1/sites"): "a new site; its row is tested with the sites",
    ("PATCH", "/api/v1/sites/{site}"): "another name for a site; its row is tested with the sites",
    ("GET", "/api/v1/quiet-times"): "how long studies are waited for",
    ("PUT", "/api/v1/quiet-times"): "another time; its row is tested with the quiet times",
    ("GET", "/api/v1/devices"): "devices that may call",
    ("POST", "/api/v1/devices"): "a new device; its row is tested with the devices",
    ("DELETE", "/api/v1/devices/{device}"): "a device that may call no more; the same",
    ("POST", f"{STUDY}/complete"): "a study that is complete already; its row is tested with completing",
    ("POST", "/studies/{study}/complete"): "the same",
    ("GET", f"{STUDY}/arrival"): "how many images a study has, and nothing of its patient",
    ("GET", "/api/v1/me"): "the caller",
    ("POST", "/api/v1/tokens"): "a new token; its row is tested with the tokens",
    ("GET", "/api/v1/tokens"): "tokens without their secrets",
    ("DELETE", "/api/v1/tokens/{token}"): "the token that ends; its row is tested with the tokens",
    **{
        (method, f"{root}{path}"): "what is no study; its rows are tested with the quarantine"
        for root, method, path in (
            ("/api/v1/quarantine", "GET", ""),
            ("/api/v1/quarantine", "POST", "/retry"),
            ("/api/v1/quarantine", "POST", "/discard"),
            ("/api/v1/quarantine", "POST", "/purge"),
            ("/api/v1/quarantine", "GET", "/{entry}"),
            ("/api/v1/quarantine", "GET", "/{entry}/rendered"),
            ("/api/v1/quarantine", "POST", "/{entry}/corrections"),
            ("/api/v1/quarantine", "POST", "/{entry}/retry"),
            ("/api/v1/quarantine", "POST", "/{entry}/discard"),
            ("/quarantine", "GET", ""),
            ("/quarantine", "GET", "/{entry}"),
            ("/quarantine", "POST", "/{entry}/corrections"),
            ("/quarantine", "POST", "/{entry}/retry"),
            ("/quarantine", "POST", "/{entry}/discard"),
        )
    },
    ("GET", "/healthz"): "which models there are",
    ("GET", "/readyz"): "whether the service can work",
    ("GET", "/metrics"): "counts of studies, none of them",
    ("GET", "/assets/{name}"): "style and script of the pages",
    ("GET", "/api/v1/openapi.json"): "the interface's description",
}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("service")) as running:
        yield running


def _rows(service: Service) -> list[AuditRow]:
    with service.database.reading() as connection:
        return list(read_rows(connection))


def test_every_address_is_entered_as_one_or_the_other(service: Service) -> None:
    app = service.client.app
    assert isinstance(app, FastAPI)
    found = {
        (method, str(route.path).replace(":path}", "}"))
        for route in iter_route_contexts(app.routes)
        for method in route.methods or ()
        if method != "HEAD"
    }
    described = {
        (method.upper(), path)
        for path, methods in service.client.get("/api/v1/openapi.json").json()["paths"].items()
        for method in methods
    }
    assert described <= found
    by_the_standard = {address for address in found if address[1].startswith(("/dicom-web/", "/wado"))}
    assert found - by_the_standard == set(LEAVES_A_ROW) | set(SHOWS_NO_STUDY)


@pytest.mark.parametrize(("method", "path"), LEAVES_A_ROW)
def test_what_is_shown_or_changed_leaves_a_row(service: Service, method: str, path: str) -> None:
    sent = service.client.post("/api/v1/studies", files={"files": ("mole.jpg", photograph(200))}).json()
    (study,) = sent["studies"]
    image = service.client.get(study["url"]).json()["images"][0]["sop_instance_uid"]
    address = path.format(study=study["id"], sop_instance_uid=image, frame=1)
    n_before = len(_rows(service))
    body = BODY.get((method, path), {})
    answer = service.client.request(method, address, follow_redirects=False, **body)
    assert answer.status_code in {200, 201, 303}
    (row,) = _rows(service)[n_before:]
    assert (row.action, row.result, row.actor) == (LEAVES_A_ROW[method, path], "done", "local")
    assert row.address == "testclient"
    assert row.request_id == answer.headers["X-Request-Id"]
    if row.action not in {Action.VIEWED_LIST, Action.RECEIVED}:
        assert row.study_uid == study["uid"]


def test_a_list_is_kept_as_it_was_shown_with_its_policy(service: Service) -> None:
    page = service.client.get("/api/v1/worklist").json()
    row = _rows(service)[-1]
    uids = [service.client.get(entry["url"]).json()["uid"] for entry in page["entries"]]
    assert all(uid in row.details for uid in uids)
    assert row.policy_version is not None


def test_a_score_is_kept_with_its_model_and_place(service: Service) -> None:
    service.client.post("/api/v1/studies", files={"files": ("mole.jpg", photograph(250))})
    service.score_all()
    row = next(row for row in reversed(_rows(service)) if row.action == Action.SCORED)
    assert (row.actor, row.model, len(row.model_sha256 or "")) == ("firstread", "derm-lesion/1", 64)
    assert '"flagged":' in row.details
    assert '"due_at_us":' in row.details


@pytest.mark.parametrize("path", ["/api/v1/studies/{key}", "/studies/{key}"])
def test_a_try_for_a_study_that_is_not_there_is_kept_without_what_was_typed(
    service: Service, path: str
) -> None:
    service.client.get(path.format(key="Wang Fang"))
    row = _rows(service)[-1]
    assert (row.action, row.result, row.study_uid) == ("viewed-study", "refused", None)
    assert "Wang" not in "".join(str(value) for value in (row.details, row.actor, row.address))


def test_a_refused_upload_is_kept_with_its_reasons_and_no_name(service: Service) -> None:
    service.client.post("/api/v1/studies", files={"files": ("Wang_Fang.jpg", b"")})
    row = _rows(service)[-1]
    assert (row.action, row.result) == ("received", "refused")
    assert '"empty-file":1' in row.details
    assert '"door":"upload"' in row.details
    assert "Wang" not in row.details


def test_no_row_names_a_patient(service: Service, tmp_path: Path) -> None:
    from data.phantoms import write_sample_studies

    (chest,) = write_sample_studies(tmp_path, seed=1, n_skin=0, n_chest=1, n_head=0)
    sent = service.client.post("/api/v1/studies", files={"files": ("chest.dcm", chest.read_bytes())}).json()
    detail = service.client.get(sent["studies"][0]["url"]).json()
    service.score_all()
    service.client.get("/api/v1/worklist")
    kept = "".join(f"{row.details}{row.actor}{row.model}" for row in _rows(service))
    known = {detail["patient"], detail["patient_name"]} - {None, ""}
    assert known
    assert not any(str(one) in kept for one in known)
