"""Orders as FHIR R4 ServiceRequests, over HTTP; the resources are checked by another library."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving.store.audit import read_rows
from serving.store.audit_chain import Action
from serving.store.orders import find_orders
from tests.serving.orders.messages import orm
from tests.serving.orders.received import ADDRESS
from tests.serving.orders.resources import identifier, service_request
from tests.serving.orders.test_shown import inbox_of, radiograph, send
from tests.serving.service_in_process import Service, in_process
from tests.serving.store.stored import LOCAL

AS_FHIR = {"Content-Type": "application/fhir+json"}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path) as running:
        yield running


def post(service: Service, resource: object, **headers: str) -> Any:  # noqa: ANN401 - a response
    return service.client.post("/fhir/ServiceRequest", json=resource, headers=AS_FHIR | headers)


def put(service: Service, key: str, resource: object, **headers: str) -> Any:  # noqa: ANN401 - a response
    return service.client.put(f"/fhir/ServiceRequest/{key}", json=resource, headers=AS_FHIR | headers)


def issues(answer: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - a response
    """Give the kind and place of each issue; the outcome is one of R4."""
    from fhir.resources.R4B.operationoutcome import OperationOutcome

    assert answer.headers["content-type"] == "application/fhir+json"
    outcome: Any = OperationOutcome.model_validate(answer.json())
    assert all(one.severity == "error" and one.details.text for one in outcome.issue)
    return [(one.code, (one.expression or [""])[0]) for one in outcome.issue]


@pytest.mark.parametrize("is_first", ["order", "study"])
def test_an_order_counts_for_its_study_whichever_comes_first(
    service: Service, tmp_path: Path, is_first: str
) -> None:
    content = radiograph(tmp_path)
    study = send(service, content) if is_first == "study" else ""
    answer = post(service, service_request())
    assert answer.status_code == 201
    study = study or send(service, content)
    shown = service.client.get(f"/api/v1/studies/{study}").json()
    assert shown["priority"] == "stat"
    (order,) = shown["orders"]
    assert (order["id"], order["source"], order["counts"]) == (answer.json()["id"], "fhir", True)
    assert (order["procedure"], order["question"]) == ("CT head", "cough")


def test_what_is_kept_is_given_back_and_can_be_put_again(service: Service) -> None:
    from fhir.resources.R4B.servicerequest import ServiceRequest

    made = post(service, service_request())
    key = made.json()["id"]
    assert made.headers["etag"] == 'W/"1"'
    assert made.headers["location"].endswith(f"/fhir/ServiceRequest/{key}/_history/1")
    got = service.client.get(f"/fhir/ServiceRequest/{key}")
    assert got.json() == made.json()
    resource: Any = ServiceRequest.model_validate(got.json())
    assert (resource.status, resource.priority, resource.subject.reference) == ("active", "stat", "#patient")
    patient = resource.contained[0]
    assert [(name.family, name.given) for name in patient.name] == [("Wang", ["Xiaodong"]), ("王", ["小东"])]
    assert [one.value for one in patient.identifier] == ["P1", "310110"]
    assert {one.system for one in resource.identifier} == {"http://his.example"}
    again = put(service, key, got.json())
    assert (again.status_code, again.headers["etag"]) == (200, 'W/"1"')  # nothing has changed


def test_a_change_makes_a_version_and_an_old_one_is_not_changed(service: Service) -> None:
    key = post(service, service_request()).json()["id"]
    changed = service_request(id=key, status="revoked", priority="routine")
    first = put(service, key, changed, **{"If-Match": 'W/"1"'})
    assert (first.status_code, first.headers["etag"], first.json()["status"]) == (200, 'W/"2"', "revoked")
    stale = put(service, key, service_request(id=key), **{"If-Match": 'W/"1"'})
    assert (stale.status_code, issues(stale)) == (412, [("conflict", "")])
    assert put(service, key, service_request(id="other")).status_code == 400
    assert service.client.get(f"/fhir/ServiceRequest/{key}").json()["status"] == "revoked"


def test_a_conditional_create_makes_one_order_however_often_it_is_asked(service: Service) -> None:
    condition = {"If-None-Exist": "identifier=http%3A%2F%2Fhis.example%7CPL1"}
    answers = [post(service, service_request(), **condition) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert len({answer.json()["id"] for answer in answers}) == 1
    elsewhere = [identifier("ACSN", "ACC2"), identifier("PLAC", "PL1", "http://other")]
    other = post(
        service, service_request(identifier=elsewhere), **{"If-None-Exist": "identifier=http://other|PL1"}
    )
    assert other.status_code == 201
    several = post(service, service_request(accession="ACC3"), **{"If-None-Exist": "identifier=PL1"})
    assert several.status_code == 412
    unknown = post(service, service_request(accession="ACC4"), **{"If-None-Exist": "status=active"})
    assert (unknown.status_code, issues(unknown)) == (400, [("not-supported", "")])


def test_the_same_numbers_again_are_a_conflict_that_names_the_order_that_is_there(service: Service) -> None:
    made = post(service, service_request())
    again = post(service, service_request())
    assert (again.status_code, issues(again)) == (409, [("duplicate", "ServiceRequest.identifier")])
    assert made.json()["id"] in again.text


def test_an_order_by_hl7_is_found_and_read_as_fhir(service: Service) -> None:
    inbox_of(service).take(orm().encode(), address=ADDRESS)
    bundle = service.client.get("/fhir/ServiceRequest", params={"identifier": "ACC1"}).json()
    assert (bundle["resourceType"], bundle["total"]) == ("Bundle", 1)
    resource = bundle["entry"][0]["resource"]
    assert [name["family"] for name in resource["contained"][0]["name"]] == ["Wang", "王"]
    assert service.client.get("/fhir/ServiceRequest", params={"identifier": "x|ACC1"}).json()["total"] == 0
    assert service.client.get("/fhir/ServiceRequest").status_code == 400


ROOT = "ServiceRequest"
REFUSED: dict[str, tuple[dict[str, Any], int, tuple[str, str]]] = {
    "no status": ({"status": None}, 400, ("required", f"{ROOT}.status")),
    "no intent": ({"intent": None}, 400, ("required", f"{ROOT}.intent")),
    "another status": ({"status": "cancelled"}, 400, ("code-invalid", f"{ROOT}.status")),
    "another intent": ({"intent": "wish"}, 400, ("code-invalid", f"{ROOT}.intent")),
    "another priority": ({"priority": "high"}, 400, ("code-invalid", f"{ROOT}.priority")),
    "a plan": ({"intent": "plan"}, 422, ("business-rule", f"{ROOT}.intent")),
    "no subject": ({"subject": None}, 400, ("required", f"{ROOT}.subject")),
    "not to be done": ({"doNotPerform": True}, 422, ("not-supported", f"{ROOT}.doNotPerform")),
    "a modifier": ({"modifierExtension": [{"url": "x"}]}, 422, ("extension", f"{ROOT}.modifierExtension")),
    "no accession": ({"identifier": [identifier("PLAC", "P")]}, 422, ("required", f"{ROOT}.identifier")),
    "a patient elsewhere": (
        {"subject": {"reference": "Patient/7"}},
        422,
        ("not-supported", f"{ROOT}.subject"),
    ),
    "a patient not contained": ({"subject": {"reference": "#q"}}, 422, ("not-found", f"{ROOT}.subject")),
    "a patient without a number": (
        {"contained": [{"resourceType": "Patient", "id": "p"}]},
        422,
        ("required", f"{ROOT}.subject"),
    ),
    "a patient of no sex that there is": (
        {"contained": [service_request()["contained"][0] | {"gender": "X"}]},
        422,
        ("code-invalid", f"{ROOT}.contained[0].gender"),
    ),
    "an unknown element": ({"urgency": "stat"}, 400, ("structure", "")),
    "a blank number": (
        {"identifier": [identifier("ACSN", " ")]},
        400,
        ("value", f"{ROOT}.identifier[0].value"),
    ),
    "another resource": ({"resourceType": "Patient"}, 400, ("structure", "resourceType")),
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_taken_is_answered_with_its_kind_and_place(shared: Service, name: str) -> None:
    more, status, issue = REFUSED[name]
    answer = post(shared, service_request(**more))
    assert answer.status_code == status
    assert issue in issues(answer)
    with shared.database.reading() as connection:
        assert find_orders(connection, scope=LOCAL, accession="ACC1") == []
        row = list(read_rows(connection))[-1]
    assert (row.action, row.result) == (Action.ORDERED, "refused")


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"7", b"NaN", b"\xff\xfe", b"[" * 100_000, b'{"resourceType":"A","resourceType":"B"}'],
)
def test_what_is_no_json_is_refused(shared: Service, body: bytes) -> None:
    answer = shared.client.post("/fhir/ServiceRequest", content=body, headers=AS_FHIR)
    assert (answer.status_code, issues(answer)[0][0]) == (400, "structure")


def test_a_patient_may_be_named_by_a_number_alone(service: Service) -> None:
    subject = {"identifier": {"system": "HOSP", "value": "P1"}, "display": "王小东"}
    answer = post(service, service_request(contained=None, subject=subject))
    assert answer.status_code == 201
    patient = answer.json()["contained"][0]
    assert patient["identifier"] == [{"value": "P1", "assigner": {"display": "HOSP"}}]
    assert patient["name"][0]["family"] == "王小东"


@pytest.mark.parametrize(
    ("asked", "headers", "expected"),
    [
        ("GET /fhir/ServiceRequest/nothing", {}, (404, "not-found")),
        ("GET /fhir/Patient/1", {}, (404, "not-found")),
        ("DELETE /fhir/ServiceRequest/1", {}, (405, "not-supported")),
        ("GET /fhir/metadata", {"Accept": "application/fhir+xml"}, (406, "not-supported")),
        ("POST /fhir/ServiceRequest", {"Content-Type": "application/fhir+xml"}, (415, "not-supported")),
    ],
)
def test_every_error_is_said_as_fhir_says_it(
    shared: Service, asked: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = shared.client.request(*asked.split(), headers=headers)
    assert (answer.status_code, issues(answer)) == (expected[0], [(expected[1], "")])


def test_what_is_understood_is_said_in_a_statement_of_r4(shared: Service) -> None:
    from fhir.resources.R4B.capabilitystatement import CapabilityStatement

    answer = shared.client.get("/fhir/metadata", headers={"Accept": "application/fhir+json"})
    assert answer.headers["content-type"] == "application/fhir+json"
    statement: Any = CapabilityStatement.model_validate(answer.json() | {"fhirVersion": "4.3.0"})
    assert (answer.json()["fhirVersion"], statement.kind) == ("4.0.1", "instance")
    (resource,) = statement.rest[0].resource
    assert {one.code for one in resource.interaction} == {"read", "create", "update", "search-type"}
    assert shared.client.get("/fhir/metadata?_format=json").status_code == 200


def test_each_act_leaves_a_row_without_the_patient(service: Service) -> None:
    key = post(service, service_request()).json()["id"]
    service.client.get(f"/fhir/ServiceRequest/{key}")
    service.client.get("/fhir/ServiceRequest?identifier=ACC1")
    put(service, key, service_request(id=key, status="revoked"))
    with service.database.reading() as connection:
        rows = [row for row in read_rows(connection) if row.action in {"ordered", "viewed-order"}]
    assert [row.action for row in rows] == ["ordered", "viewed-order", "viewed-order", "ordered"]
    assert all(key in row.details for row in rows)
    assert not any(word in row.details for row in rows for word in ("Wang", "王", "P1", "cough"))
