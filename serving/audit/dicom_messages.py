"""Rows of the trail as DICOM audit messages (PS3.15 annex A.5), one XML document a line."""

import base64
import json
import re
from xml.etree.ElementTree import Element, SubElement, tostring

from serving.audit.meaning import Code, meaning_of, outcome_of
from serving.store.audit_chain import Action, AuditRow
from serving.store.times import from_us

# The list is read as a modality reads its own: Modality Worklist Information Model, FIND (PS3.4 K).
_WORKLIST_SOP_CLASS = "1.2.840.10008.5.1.4.31"

_DESTINATION, _SOURCE = Code("110152", "Destination Role ID"), Code("110153", "Source Role ID")
_APPLICATION, _LAUNCHER = Code("110150", "Application"), Code("110151", "Application Launcher")
_STUDY, _SOP_CLASS = Code("110180", "Study Instance UID"), Code("110181", "SOP Class UID")

_APPLICATION_SERVER = "4"
_MACHINE_NAME, _IP_ADDRESS = "1", "2"
_PERSON, _SYSTEM_OBJECT = "1", "2"
_PATIENT_ROLE, _REPORT_ROLE, _SECURITY_RESOURCE_ROLE = "1", "3", "13"

# What XML 1.0 has no way to write.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def audit_message(row: AuditRow, *, patient: tuple[str, str] | None) -> str:
    """Write a row as an audit message.

    Parameters
    ----------
    row : AuditRow
        What was done.
    patient : (str, str) or None
        Issuer and identifier of the study's patient; None if there is no study or they are not known.

    Notes
    -----
    Where the standard asks for a patient and none is known, the identifier is ``unknown``. What was shown
    goes along as a detail, with the row's number and hash.

    References
    ----------
    .. [1] DICOM PS3.15 annex A.5.1 (the schema), A.5.3 (each event), PS3.16 CID 400 to 403.
    """
    message = Element("AuditMessage")
    _event(message, row)
    _participants(message, row)
    source = SubElement(
        message,
        "AuditSourceIdentification",
        AuditEnterpriseSiteID=_clean(row.site),
        AuditSourceID="firstread",
    )
    SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    if row.action == Action.VIEWED_LIST:
        _list_object(message, row)
    elif row.study_uid is not None:
        _study_object(message, row)
        _patient_object(message, patient)
    else:
        _trail_object(message, row)
    return tostring(message, encoding="unicode")


def _event(message: Element, row: AuditRow) -> None:
    meaning = meaning_of(row)
    event = SubElement(
        message,
        "EventIdentification",
        EventActionCode=meaning.letter,
        EventDateTime=from_us(row.at_us).isoformat(timespec="microseconds"),
        EventOutcomeIndicator=outcome_of(row),
    )
    _coded(event, "EventID", meaning.event)
    if meaning.kind is not None:
        _coded(event, "EventTypeCode", meaning.kind)
    action = SubElement(event, "EventTypeCode", {"csd-code": row.action, "codeSystemName": "99FIRSTREAD"})
    action.set("originalText", row.action.replace("-", " "))


def _participants(message: Element, row: AuditRow) -> None:
    roles: dict[str, tuple[Code | None, Code | None]] = {
        Action.RECEIVED: (_SOURCE, _DESTINATION),
        Action.VIEWED_LIST: (_DESTINATION, _SOURCE),
        Action.EXPORTED: (_DESTINATION, _SOURCE),
        Action.TRANSFERRED: (_DESTINATION, _SOURCE),
        Action.STARTED: (_LAUNCHER, _APPLICATION),
        Action.STOPPED: (_LAUNCHER, _APPLICATION),
    }
    theirs, ours = roles.get(row.action, (None, None))
    person = SubElement(message, "ActiveParticipant", UserID=_clean(row.verified_identity or row.actor))
    if row.verified_identity:
        person.set("AlternativeUserID", _clean(row.actor))
    person.set("UserIsRequestor", "true")
    if row.address:
        is_address = ":" in row.address or row.address.replace(".", "").isdecimal()
        person.set("NetworkAccessPointID", _clean(row.address))
        person.set("NetworkAccessPointTypeCode", _IP_ADDRESS if is_address else _MACHINE_NAME)
    if theirs is not None:
        _coded(person, "RoleIDCode", theirs)
    service = SubElement(message, "ActiveParticipant", UserID="firstread", UserIsRequestor="false")
    if ours is not None:
        _coded(service, "RoleIDCode", ours)


def _list_object(message: Element, row: AuditRow) -> None:
    shown = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_WORKLIST_SOP_CLASS,
        ParticipantObjectTypeCode=_SYSTEM_OBJECT,
        ParticipantObjectTypeCodeRole=_REPORT_ROLE,
    )
    _coded(shown, "ParticipantObjectIDTypeCode", _SOP_CLASS)
    SubElement(shown, "ParticipantObjectQuery").text = _base64(row.details)
    _details(shown, row)
    studies = json.loads(row.details).get("studies") or []
    if studies:
        described = SubElement(shown, "ParticipantObjectDescription")
        contained = SubElement(described, "ParticipantObjectContainsStudy")
        for uid in studies:
            SubElement(contained, "StudyIDs", UID=_clean(str(uid)))


def _study_object(message: Element, row: AuditRow) -> None:
    study = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_clean(row.study_uid or ""),
        ParticipantObjectTypeCode=_SYSTEM_OBJECT,
        ParticipantObjectTypeCodeRole=_REPORT_ROLE,
    )
    if life_cycle := meaning_of(row).life_cycle:
        study.set("ParticipantObjectDataLifeCycle", life_cycle)
    _coded(study, "ParticipantObjectIDTypeCode", _STUDY)
    SubElement(study, "ParticipantObjectName").text = "study"
    SubElement(study, "ParticipantObjectDetail", type="shown", value=_base64(row.details))
    _details(study, row)


def _patient_object(message: Element, patient: tuple[str, str] | None) -> None:
    issuer, identifier = patient or ("", "unknown")
    person = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID=_clean(f"{identifier}^^^{issuer}" if issuer else identifier),
        ParticipantObjectTypeCode=_PERSON,
        ParticipantObjectTypeCodeRole=_PATIENT_ROLE,
    )
    code = {"csd-code": "2", "codeSystemName": "RFC-3881", "originalText": "Patient Number"}
    SubElement(person, "ParticipantObjectIDTypeCode", code)
    SubElement(person, "ParticipantObjectName").text = ""  # no name leaves the trail


def _trail_object(message: Element, row: AuditRow) -> None:
    trail = SubElement(
        message,
        "ParticipantObjectIdentification",
        ParticipantObjectID="urn:firstread:audit-trail",
        ParticipantObjectTypeCode=_SYSTEM_OBJECT,
        ParticipantObjectTypeCodeRole=_SECURITY_RESOURCE_ROLE,
    )
    code = {"csd-code": "12", "codeSystemName": "RFC-3881", "originalText": "URI"}
    SubElement(trail, "ParticipantObjectIDTypeCode", code)
    SubElement(trail, "ParticipantObjectName").text = "Security Audit Log"
    SubElement(trail, "ParticipantObjectDetail", type="what", value=_base64(row.details))
    _details(trail, row)


def _details(parent: Element, row: AuditRow) -> None:
    facts = {
        "row": str(row.seq),
        "hash": row.hash,
        "model": row.model,
        "model-sha256": row.model_sha256,
        "policy-version": row.policy_version,
        "request-id": row.request_id,
    }
    for name, value in facts.items():
        if value:
            SubElement(parent, "ParticipantObjectDetail", type=name, value=_base64(value))


def _coded(parent: Element, name: str, code: Code) -> None:
    SubElement(
        parent,
        name,
        {"csd-code": code.value, "codeSystemName": "DCM", "originalText": code.meaning},
    )


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "replace")).decode("ascii")


def _clean(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
