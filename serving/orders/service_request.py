"""A FHIR R4 ServiceRequest as an order, and an order as a ServiceRequest.

What an order consists of is read and checked; other elements of R4 are passed over, and what is no element of
it is refused, as is what would turn the meaning round (modifierExtension, doNotPerform). The accession number
is the identifier of type ACSN, the placer's number that of type PLAC (HL7 table 0203).

References
----------
FHIR R4: ServiceRequest, Patient, HumanName; value sets request-status, request-intent, request-priority.
"""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, ValidationError

from serving.errors import Problem
from serving.orders.message_orders import MOST_OF_A_NUMBER, MOST_OF_A_QUESTION
from serving.outcomes import FhirRefusedError, Issue
from serving.store.orders import Order, OrderedPatient, OrderState, StoredOrder
from serving.store.texts import storable
from serving.store.times import from_us

IDENTIFIER_TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
_REPRESENTATION = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-representation"

# Of the value set request-intent; the others do not ask anybody to do anything yet.
ORDERING = frozenset({"order", "original-order", "reflex-order", "filler-order", "instance-order"})

# "as soon as possible" is more than urgent and less than stat; the queue knows three.
_PRIORITY = {"stat": "stat", "asap": "urgent", "urgent": "urgent", "routine": "routine"}
_SEX = {"male": "M", "female": "F", "other": "O", "unknown": ""}
_TURNED_ROUND = "This changes what the resource means, in a way that is not known here."
_GENDER = {"M": "male", "F": "female", "O": "other"}

_ELEMENTS = frozenset(
    {
        "asNeededBoolean",
        "asNeededCodeableConcept",
        "authoredOn",
        "basedOn",
        "bodySite",
        "category",
        "code",
        "contained",
        "doNotPerform",
        "encounter",
        "extension",
        "id",
        "identifier",
        "implicitRules",
        "instantiatesCanonical",
        "instantiatesUri",
        "insurance",
        "intent",
        "language",
        "locationCode",
        "locationReference",
        "meta",
        "modifierExtension",
        "note",
        "occurrenceDateTime",
        "occurrencePeriod",
        "occurrenceTiming",
        "orderDetail",
        "patientInstruction",
        "performer",
        "performerType",
        "priority",
        "quantityQuantity",
        "quantityRange",
        "quantityRatio",
        "reasonCode",
        "reasonReference",
        "relevantHistory",
        "replaces",
        "requester",
        "requisition",
        "resourceType",
        "specimen",
        "status",
        "subject",
        "supportingInfo",
        "text",
    }
)

# A FHIR string is never empty, and an order's are bounded.
Text = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=MOST_OF_A_QUESTION)]
Number = Annotated[
    str,
    StringConstraints(
        strict=True,
        min_length=1,
        max_length=MOST_OF_A_NUMBER,
        pattern=r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$",
    ),
]
Date = Annotated[str, StringConstraints(strict=True, pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")]


class _Element(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Coding(_Element):
    """A code of some system."""

    system: Text | None = None
    code: Text | None = None
    display: Text | None = None


class CodeableConcept(_Element):
    """A concept by its codes or in words."""

    coding: list[Coding] = []
    text: Text | None = None

    @property
    def words(self) -> str:
        """What it says to a person."""
        first = [coding.display or coding.code for coding in self.coding if coding.display or coding.code]
        return self.text or (first[0] or "" if first else "")


class Assigner(_Element):
    """Who issued an identifier."""

    display: Text | None = None


class Identifier(_Element):
    """A number and whose it is."""

    type: CodeableConcept | None = None
    system: Text | None = None
    value: Number | None = None
    assigner: Assigner | None = None

    def is_of(self, code: str) -> bool:
        """Whether it is of a type of table 0203."""
        codings = self.type.coding if self.type else []
        return any(one.code == code and one.system in {None, IDENTIFIER_TYPES} for one in codings)


class Extension(_Element):
    """Something said beside the elements."""

    url: Text
    value_code: Text | None = Field(default=None, alias="valueCode")


class HumanName(_Element):
    """A person's name."""

    text: Text | None = None
    family: Text | None = None
    given: list[Text] = []
    prefix: list[Text] = []
    suffix: list[Text] = []
    extension: list[Extension] = []

    @property
    def in_dicom(self) -> str:
        """Write it as one form of a DICOM name."""
        if self.family is None and not self.given:
            return _plain(self.text or "")
        first, *middle = [*self.given, ""]
        parts = (self.family or "", first, " ".join(part for part in middle if part), " ".join(self.prefix))
        return "^".join(_plain(part) for part in (*parts, " ".join(self.suffix))).rstrip("^")

    @property
    def form(self) -> str:
        """Which form it is: alphabetic, ideographic or syllabic."""
        said = {one.value_code for one in self.extension if one.url == _REPRESENTATION}
        return "IDE" if "IDE" in said else "SYL" if "SYL" in said else "ABC"


class Patient(_Element):
    """Whom an order is for, as it stands within the order."""

    resource_type: Literal["Patient"] = Field(alias="resourceType")
    id: Text | None = None
    identifier: list[Identifier] = []
    name: list[HumanName] = []
    birth_date: Date | None = Field(default=None, alias="birthDate")
    gender: Literal["male", "female", "other", "unknown"] | None = None


class Reference(_Element):
    """Something else, by its address, or by what it is known by."""

    reference: Text | None = None
    identifier: Identifier | None = None
    display: Text | None = None


class Annotation(_Element):
    """A note."""

    text: Text


class ServiceRequest(_Element):
    """What is read of the resource."""

    resource_type: Literal["ServiceRequest"] = Field(alias="resourceType")
    id: Text | None = None
    identifier: list[Identifier] = []
    status: Literal["draft", "active", "on-hold", "revoked", "completed", "entered-in-error", "unknown"]
    intent: Literal[
        "proposal",
        "plan",
        "directive",
        "order",
        "original-order",
        "reflex-order",
        "filler-order",
        "instance-order",
        "option",
    ]
    priority: Literal["routine", "urgent", "asap", "stat"] = "routine"
    do_not_perform: StrictBool = Field(default=False, alias="doNotPerform")
    code: CodeableConcept | None = None
    subject: Reference
    reason_code: list[CodeableConcept] = Field(default=[], alias="reasonCode")
    note: list[Annotation] = []
    contained: list[dict[str, Any]] = []
    implicit_rules: Text | None = Field(default=None, alias="implicitRules")
    modifier_extension: list[Extension] = Field(default=[], alias="modifierExtension")


def read_resource(body: bytes) -> ServiceRequest:
    """Read a request's body.

    Raises
    ------
    FhirRefusedError
        If it is no ServiceRequest of R4, with each thing that is wrong.
    """
    try:
        given = json.loads(body, parse_constant=_refuse_constant, object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise _refused(Issue("structure", f"The body is no JSON: {_first_line(error)}.")) from error
    if not isinstance(given, dict):
        raise _refused(Issue("structure", "The body is no resource: a JSON object is."))
    if given.get("resourceType") != "ServiceRequest":
        raise _refused(Issue("structure", "The resource is no ServiceRequest.", "resourceType"))
    unknown = [name for name in given if name.removeprefix("_") not in _ELEMENTS]
    if unknown:
        raise _refused(
            *(Issue("structure", f"{name[:40]!a} is no element of ServiceRequest.") for name in unknown[:10])
        )
    try:
        return ServiceRequest.model_validate(given)
    except ValidationError as error:
        raise _refused(*_issues(error, "ServiceRequest")) from error


def order_of(request: ServiceRequest, *, sender: str) -> Order:
    """Give the order that a request is.

    Raises
    ------
    FhirRefusedError
        If it cannot be carried out: no accession number, no patient that can be told, not an order.
    """
    issues = list(_not_carried_out(request))
    accession = next((one for one in request.identifier if one.is_of("ACSN") and one.value), None)
    placer = next((one for one in request.identifier if one.is_of("PLAC") and one.value), None)
    if accession is None:
        issues.append(
            Issue(
                "required",
                "No identifier of type ACSN (table 0203) gives the accession number, that of the study.",
                "ServiceRequest.identifier",
            )
        )
    patient = _patient(request, issues)
    if issues or accession is None or patient is None:
        raise FhirRefusedError(Problem.INVALID_REQUEST, issues)
    said = [concept.words for concept in request.reason_code] + [note.text for note in request.note]
    question = "\n".join(dict.fromkeys(text for text in said if text))[:MOST_OF_A_QUESTION]
    return Order(
        accession=storable(accession.value or "").strip(),
        placer=storable(placer.value or "").strip() if placer else "",
        priority=_PRIORITY[request.priority],
        question=storable(question),
        procedure=storable(request.code.words if request.code else ""),
        patient=patient,
        state=OrderState(request.status),
        source="fhir",
        sender=sender,
        accession_system=storable(accession.system or ""),
        placer_system=storable(placer.system or "") if placer else "",
    )


def resource_of(stored: StoredOrder) -> dict[str, Any]:
    """Write an order as a ServiceRequest: what the service keeps, whichever way it came."""
    order = stored.order
    numbers = (("ACSN", order.accession, order.accession_system), ("PLAC", order.placer, order.placer_system))
    written: dict[str, Any] = {
        "resourceType": "ServiceRequest",
        "id": stored.key,
        "meta": {
            "versionId": str(stored.version),
            "lastUpdated": from_us(stored.changed_at_us).isoformat(timespec="milliseconds"),
        },
        "contained": [_patient_resource(order.patient)],
        "identifier": [
            {
                "type": {"coding": [{"system": IDENTIFIER_TYPES, "code": code}]},
                **({"system": system} if system else {}),
                "value": value,
            }
            for code, value, system in numbers
            if value
        ],
        "status": str(order.state),
        "intent": "order",
        "priority": order.priority,
        "subject": {"reference": "#patient"},
    }
    if order.procedure:
        written["code"] = {"text": order.procedure}
    if order.question:
        written["reasonCode"] = [{"text": order.question}]
    return written


def _not_carried_out(request: ServiceRequest) -> list[Issue]:
    orders_nothing = request.intent not in ORDERING
    wrong = {
        "intent": ("business-rule", "The intent orders nothing yet: send an order.", orders_nothing),
        "doNotPerform": ("not-supported", "What must not be done is not taken.", request.do_not_perform),
        "modifierExtension": ("extension", _TURNED_ROUND, bool(request.modifier_extension)),
        "implicitRules": ("extension", _TURNED_ROUND, request.implicit_rules is not None),
    }
    return [
        Issue(kind, text, f"ServiceRequest.{name}") for name, (kind, text, is_so) in wrong.items() if is_so
    ]


def _patient(request: ServiceRequest, issues: list[Issue]) -> OrderedPatient | None:
    subject = request.subject
    if subject.reference is not None and subject.reference.startswith("#"):
        place, found = next(
            (
                (place, resource)
                for place, resource in enumerate(request.contained)
                if resource.get("id") == subject.reference[1:]
            ),
            (0, None),
        )
        if found is None:
            text = "subject refers to nothing that is contained."
            issues.append(Issue("not-found", text, "ServiceRequest.subject"))
            return None
        try:
            patient = Patient.model_validate(found)
        except ValidationError as error:
            issues += _issues(error, f"ServiceRequest.contained[{place}]")
            return None
    elif subject.identifier is not None:
        name = [HumanName(text=subject.display)] if subject.display else []
        patient = Patient(resource_type="Patient", identifier=[subject.identifier], name=name)
    else:
        issues.append(
            Issue(
                "not-supported",
                "Patients are not kept here: contain the Patient, or give subject.identifier.",
                "ServiceRequest.subject",
            )
        )
        return None
    pairs = _pairs(patient.identifier)
    if not pairs:
        issues.append(Issue("required", "The patient has no identifier.", "ServiceRequest.subject"))
        return None
    birth_date = (patient.birth_date or "").replace("-", "")
    return OrderedPatient(
        pairs,
        _name(patient.name),
        birth_date if len(birth_date) == 8 else "",
        _SEX.get(patient.gender or "unknown", ""),
    )


def _pairs(identifiers: list[Identifier]) -> tuple[tuple[str, str], ...]:
    """Give issuers and identifiers, that of the medical record first."""
    named = sorted((one for one in identifiers if one.value), key=lambda one: not one.is_of("MR"))
    return tuple((_issuer(one), storable(one.value or "").strip()) for one in named)


def _issuer(identifier: Identifier) -> str:
    assigner = identifier.assigner.display if identifier.assigner else None
    return storable(assigner or identifier.system or "")


def _name(names: list[HumanName]) -> str:
    """Give the name as DICOM writes it: alphabetic, ideographic, phonetic."""
    groups = {"ABC": "", "IDE": "", "SYL": ""}
    for name in names:
        groups[name.form] = groups[name.form] or storable(name.in_dicom)[:255]
    return "=".join(groups.values()).rstrip("=")


def _patient_resource(patient: OrderedPatient) -> dict[str, Any]:
    written: dict[str, Any] = {"resourceType": "Patient", "id": "patient"}
    written["identifier"] = [
        {"value": identifier, **({"assigner": {"display": issuer}} if issuer else {})}
        for issuer, identifier in patient.identifiers
    ]
    names = [
        _human_name(name, form)
        for name, form in zip(patient.name.split("="), ("ABC", "IDE", "SYL"), strict=False)
        if name
    ]
    if names:
        written["name"] = names
    if patient.birth_date:
        year, month, day = patient.birth_date[:4], patient.birth_date[4:6], patient.birth_date[6:]
        written["birthDate"] = f"{year}-{month}-{day}"
    if patient.sex:
        written["gender"] = _GENDER[patient.sex]
    return written


def _human_name(name: str, form: str) -> dict[str, Any]:
    family, given, middle, prefix, suffix = [*name.split("^"), "", "", "", ""][:5]
    written: dict[str, Any] = {"extension": [{"url": _REPRESENTATION, "valueCode": form}]}
    if family:
        written["family"] = family
    if given or middle:
        written["given"] = [part for part in (given, middle) if part]
    if prefix:
        written["prefix"] = [prefix]
    if suffix:
        written["suffix"] = [suffix]
    return written


def _plain(part: str) -> str:
    return part.replace("^", " ").replace("=", " ").strip()


def _refused(*issues: Issue) -> FhirRefusedError:
    return FhirRefusedError(Problem.INVALID_RESOURCE, issues)


def _issues(error: ValidationError, root: str) -> list[Issue]:
    return [
        Issue(
            {"missing": "required", "literal_error": "code-invalid"}.get(fault["type"], "value"),
            f"{_path(root, fault['loc'])}: {fault['msg']}.",
            _path(root, fault["loc"]),
        )
        for fault in error.errors(include_url=False, include_input=False)[:20]
    ]


def _path(root: str, location: tuple[int | str, ...]) -> str:
    return root + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return made


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no value")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:120]
