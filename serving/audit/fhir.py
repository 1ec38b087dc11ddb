"""Rows of the trail as FHIR AuditEvent resources, of R4 or R5."""

from typing import Any, Final

from serving.audit.meaning import Code, meaning_of, outcome_of
from serving.store.audit_chain import Action, ActorKind, AuditRow
from serving.store.times import from_us

DCM: Final = "http://dicom.nema.org/resources/ontology/DCM"

_ACTIONS = "urn:firstread:audit-action"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_LIST, _PATIENT, _REPORT = ("20", "Job"), ("1", "Patient"), ("3", "Report")

Json = dict[str, Any]


def audit_event_r4(row: AuditRow, *, patient: tuple[str, str] | None) -> Json:
    """Write a row as an AuditEvent of R4.

    `patient` is issuer and identifier of the study's patient, None if they are not known.
    """
    meaning = meaning_of(row)
    return {
        "resourceType": "AuditEvent",
        "id": f"row-{row.seq}",
        "type": _dicom(meaning.event),
        "subtype": [*([_dicom(meaning.kind)] if meaning.kind else []), _action(row)],
        "action": meaning.letter,
        "recorded": _instant(row),
        "outcome": outcome_of(row),
        "agent": [
            {
                **_agent(row),
                **({"network": {"address": row.address, "type": _network(row)}} if row.address else {}),
            }
        ],
        "source": {
            "site": row.site,
            "observer": {"display": "firstread"},
            "type": [_source_type()],
        },
        "entity": [
            {
                "what": one["what"],
                "type": {
                    "system": f"{_TERMINOLOGY}/audit-entity-type",
                    "code": one["kind"],
                },
                "role": one["role"],
                "detail": [{"type": name, "valueString": value} for name, value in one["detail"]],
            }
            for one in _entities(row, patient)
        ],
    }


def audit_event_r5(row: AuditRow, *, patient: tuple[str, str] | None) -> Json:
    """Write a row as an AuditEvent of R5; see :func:`audit_event_r4`."""
    meaning = meaning_of(row)
    return {
        "resourceType": "AuditEvent",
        "id": f"row-{row.seq}",
        "category": [{"coding": [_dicom(meaning.event)]}],
        "code": {"coding": [*([_dicom(meaning.kind)] if meaning.kind else []), _action(row)]},
        "action": meaning.letter,
        "recorded": _instant(row),
        "outcome": {
            "code": {
                "system": f"{_TERMINOLOGY}/audit-event-outcome",
                "code": outcome_of(row),
            }
        },
        "agent": [{**_agent(row), **({"networkString": row.address} if row.address else {})}],
        "source": {
            "site": {"display": row.site},
            "observer": {"display": "firstread"},
            "type": [{"coding": [_source_type()]}],
        },
        "entity": [
            {
                "what": one["what"],
                "role": {"coding": [one["role"]]},
                "detail": [{"type": {"text": name}, "valueString": value} for name, value in one["detail"]],
            }
            for one in _entities(row, patient)
        ],
    }


def _agent(row: AuditRow) -> Json:
    who: Json = {"display": row.verified_identity or row.actor}
    if row.actor_kind != ActorKind.ANONYMOUS:
        who["identifier"] = {"system": f"urn:firstread:{row.actor_kind}", "value": row.actor}
    return {"who": who, "requestor": True}


def _entities(row: AuditRow, patient: tuple[str, str] | None) -> list[Json]:
    """Give what was shown or changed, in terms of both releases; a detail is a pair of name and value."""
    facts = {
        "row": str(row.seq),
        "hash": row.hash,
        "details": row.details,
        "model": row.model,
        "model-sha256": row.model_sha256,
        "policy-version": row.policy_version,
        "request-id": row.request_id,
    }
    detail = [(name, value) for name, value in facts.items() if value]
    if row.study_uid is None:
        what = "worklist" if row.action == Action.VIEWED_LIST else "audit-trail"
        named = {"identifier": {"system": "urn:firstread", "value": what}}
        return [{"what": named, "kind": "2", "role": _role(_LIST), "detail": detail}]
    study = {"identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{row.study_uid}"}}
    found: list[Json] = [{"what": study, "kind": "2", "role": _role(_REPORT), "detail": detail}]
    if patient is not None:
        issuer, identifier = patient
        number = {"value": identifier} | ({"system": f"urn:firstread:issuer:{issuer}"} if issuer else {})
        found.append({"what": {"identifier": number}, "kind": "1", "role": _role(_PATIENT), "detail": []})
    return found


def _role(role: tuple[str, str]) -> Json:
    return {"system": f"{_TERMINOLOGY}/object-role", "code": role[0], "display": role[1]}


def _dicom(code: Code) -> Json:
    return {"system": DCM, "code": code.value, "display": code.meaning}


def _action(row: AuditRow) -> Json:
    return {"system": _ACTIONS, "code": row.action}


def _source_type() -> Json:
    return {"system": f"{_TERMINOLOGY}/security-source-type", "code": "4", "display": "Application Server"}


def _instant(row: AuditRow) -> str:
    return from_us(row.at_us).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _network(row: AuditRow) -> str:
    address = row.address or ""
    return "2" if ":" in address or address.replace(".", "").isdecimal() else "1"
