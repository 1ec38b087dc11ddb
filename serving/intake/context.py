"""What a sender says beside the images: the patient's context and the doctor's priority, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from data.study import Change, Duration, PatientContext, Sex
from serving.errors import Problem, ServiceError
from serving.intake.arrival import Arrival
from serving.store.uses import Consent
from serving.worklist.policy import DoctorPriority

_SEXES = {"f": "F", "female": "F", "m": "M", "male": "M", "o": "O", "other": "O"}


def _absent_if_empty(value: object) -> object:
    return None if value == "" else value


def _code_of_sex(value: object) -> object:
    return _SEXES.get(value.strip().lower(), value) if isinstance(value, str) else value


def _or_routine(value: object) -> object:
    return value.strip().lower() or DoctorPriority.ROUTINE if isinstance(value, str) else value


def _or_whole(value: object) -> object:
    return value.strip().lower() or Arrival.WHOLE if isinstance(value, str) else value


def _several(value: object) -> object:
    if not isinstance(value, str):
        return value or None
    return [part for one in value.split(",") if (part := one.strip().lower())] or None


class ContextFields(BaseModel):
    """The fields of the form, as they are sent; an empty one is an absent one."""

    model_config = ConfigDict(extra="forbid")

    age: Annotated[float | None, BeforeValidator(_absent_if_empty)] = Field(
        default=None, ge=0, le=130, description="Years."
    )
    sex: Annotated[
        Literal["F", "M", "O"] | None, BeforeValidator(_absent_if_empty), BeforeValidator(_code_of_sex)
    ] = Field(default=None, description="F, M or O.")
    body_site: Annotated[str | None, BeforeValidator(_absent_if_empty)] = Field(
        default=None, max_length=200, description="Where on the body, in the sender's words."
    )
    skin_type: Annotated[int | None, BeforeValidator(_absent_if_empty)] = Field(
        default=None, ge=1, le=6, description="Fitzpatrick 1 to 6."
    )
    clinical_question: Annotated[str | None, BeforeValidator(_absent_if_empty)] = Field(
        default=None, max_length=4000, description="What the doctor wants to know."
    )
    # The names of Duration and of Change; as with Consent below.
    duration: Annotated[
        Literal[
            "under-1-month",
            "1-to-6-months",
            "6-to-12-months",
            "1-to-5-years",
            "over-5-years",
            "since-birth",
        ]
        | None,
        BeforeValidator(_absent_if_empty),
    ] = Field(default=None, description="How long the lesion or complaint is known.")
    change: Annotated[
        list[Literal["grew", "colour", "shape", "bleeding", "itch", "pain", "ulcer", "shrank", "none"]]
        | None,
        BeforeValidator(_several),
    ] = Field(
        default=None,
        max_length=9,
        description="What has become different of it lately: several, separated by commas, or the field "
        "several times; 'none' stands alone.",
    )
    change_note: Annotated[str | None, BeforeValidator(_absent_if_empty)] = Field(
        default=None, max_length=1000, description="What of the change the list has no word for."
    )
    priority: Annotated[Literal["stat", "urgent", "routine"], BeforeValidator(_or_routine)] = Field(
        default="routine", description="What the doctor asks for; 'stat' counts before every model."
    )
    # The names of Consent, not the enumeration: the description of the form refers to nothing.
    consent: Annotated[
        Literal["training", "care-only", "withdrawn"] | None, BeforeValidator(_absent_if_empty)
    ] = Field(
        default=None,
        description="What the patient allows beyond their own care; absent, nothing. A study that is known "
        "already can be narrowed by this, not widened.",
    )
    arrival: Annotated[Literal["whole", "part"], BeforeValidator(_or_whole)] = Field(
        default="whole",
        description="'part': more of the same studies may come; they are scored once their site's quiet time "
        "has passed without an image, their announced number is there, or they are said to be complete.",
    )

    @field_validator("change")
    @classmethod
    def _check_none_is_alone(cls, value: list[str] | None) -> list[str] | None:
        if value and "none" in value and len(set(value)) > 1:
            raise ValueError("'none' and other changes exclude each other")
        return value


@dataclass(frozen=True, slots=True)
class SenderContext:
    """The patient's context, the priority, and what the patient allows, None if nothing was said.

    `arrival` says whether more of the same studies may come.
    """

    patient: PatientContext
    priority: str
    consent: Consent | None = None
    arrival: Arrival = Arrival.WHOLE


def read_context(fields: Mapping[str, object]) -> SenderContext:
    """Check the form's fields.

    Raises
    ------
    ServiceError
        If a field is unknown or its value is not one of those it takes; names the field.
    """
    try:
        read = ContextFields.model_validate(dict(fields))
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "extra_forbidden":
            known = ", ".join(ContextFields.model_fields)
            raise ServiceError(
                Problem.INVALID_REQUEST, f"There is no field {name!r}: the fields are {known}, and the files."
            ) from error
        raise ServiceError(
            Problem.INVALID_REQUEST, f"The field {name!r} is {fields.get(name)!r}: {first['msg']}."
        ) from error
    return SenderContext(
        PatientContext(
            age_years=read.age,
            sex=None if read.sex is None else Sex(read.sex),
            body_site=read.body_site,
            skin_type=read.skin_type,
            clinical_question=read.clinical_question,
            duration=None if read.duration is None else Duration(read.duration),
            changes=tuple(change for change in Change if change in (read.change or ())),
            change_note=read.change_note,
        ),
        read.priority,
        None if read.consent is None else Consent(read.consent),
        Arrival(read.arrival),
    )
