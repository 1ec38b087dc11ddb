"""The policy: within what time each class of each model, and each doctor's priority, should be read.

The file ``policy.toml`` says it in minutes and names the source of every figure. It is read once, checked
whole, and becomes a frozen :class:`Policy`; its version is a hash of the figures alone, so that a study can
say which policy placed it and a re-worded source changes nothing.
"""

import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.card import ClassKey, ClassSpec, Severity, Slug

SHIPPED_POLICY = Path(__file__).with_name("policy.toml")

# Thirty days: nothing that is called triage waits longer, and a slip of the pen is caught.
Minutes = Annotated[float, Field(gt=0, le=30 * 24 * 60, allow_inf_nan=False)]


class PolicyError(Exception):
    """A policy that cannot be read or that breaks one of its own rules."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        self.problem = problem
        super().__init__(f"{path}: {problem}")


class DoctorPriority(StrEnum):
    """What the requesting doctor asked for (FHIR R4 ServiceRequest.priority)."""

    STAT = "stat"
    URGENT = "urgent"
    ROUTINE = "routine"


class Tier(StrEnum):
    """How soon a study should be read, in the four words a reader sees."""

    CRITICAL = "critical"
    URGENT = "urgent"
    ROUTINE = "routine"
    LOW = "low"


@dataclass(frozen=True, slots=True)
class Policy:
    """The times in minutes; see the module's text.

    `tier_bounds` are the longest times of each tier but the last, in rising order.
    """

    version: str
    unscored_minutes: float
    doctor_minutes: Mapping[DoctorPriority, float]
    severity_minutes: Mapping[Severity, float]
    model_minutes: Mapping[str, Mapping[str, float]]
    tier_bounds: tuple[tuple[Tier, float], ...]

    def class_minutes(self, model: str, classes: Sequence[ClassSpec]) -> NDArray[np.float64]:
        """Give the time of each of a model's classes, by its severity where the policy does not name it.

        Parameters
        ----------
        model : str
            The model's name as its card has it.
        classes : sequence of ClassSpec
            The card's classes, in the order of the logits.

        Returns
        -------
        (n_classes,) float64, min
            In the order of `classes`.
        """
        named = self.model_minutes.get(model, {})
        return np.array([named.get(spec.key, self.severity_minutes[spec.severity]) for spec in classes])

    def tier(self, minutes: float) -> Tier:
        """Give the tier of a study that may wait this long.

        `minutes` is the smaller of its allowance and its doctor's time, or :attr:`unscored_minutes`.
        """
        # A class's own time must stay in its tier although exp(log(T)) may miss T by a rounding.
        return next((tier for tier, bound in self.tier_bounds if minutes <= bound * (1 + 1e-9)), Tier.LOW)


def read_policy(path: Path | None = None) -> Policy:
    """Read and check a policy file: a hospital's own, or the one that comes with the product.

    Raises
    ------
    PolicyError
        If the file is missing, is no TOML, lacks a figure or its source, or breaks a rule: STAT is at most
        every class's time; priorities, severities and tiers rise; every model's longest time is longer
        than that of an unscored study.
    """
    path = path or SHIPPED_POLICY
    try:
        document = _Document.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as problem:
        raise PolicyError(path, f"cannot be read: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise PolicyError(path, f"is no TOML: {problem}") from problem
    except ValidationError as problem:
        first = problem.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise PolicyError(path, f"{place}: {first['msg']}" if place else first["msg"]) from problem
    return _frozen(document)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Time(_Part):
    minutes: Minutes
    source: str = Field(min_length=4)


class _Tiers(_Part):
    critical_up_to_minutes: Minutes
    urgent_up_to_minutes: Minutes
    routine_up_to_minutes: Minutes
    source: str = Field(min_length=4)


class _Document(_Part):
    schema_version: Literal[1]
    unscored: _Time
    doctor: dict[DoctorPriority, _Time]
    tiers: _Tiers
    severity: dict[Severity, _Time]
    models: dict[Slug, dict[ClassKey, _Time]] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _names_all(self) -> Self:
        for missing in set(DoctorPriority) - set(self.doctor):
            raise ValueError(f"doctor.{missing} is missing")
        for absent in set(Severity) - set(self.severity):
            raise ValueError(f"severity.{absent} is missing")
        return self

    @model_validator(mode="after")
    def _rises(self) -> Self:
        tiers = self.tiers
        ladders = {
            "doctor": [self.doctor[priority].minutes for priority in DoctorPriority],
            "severity": [self.severity[severity].minutes for severity in Severity],
            "tiers": [tiers.critical_up_to_minutes, tiers.urgent_up_to_minutes, tiers.routine_up_to_minutes],
        }
        for name, minutes in ladders.items():
            if sorted(minutes) != minutes:
                raise ValueError(f"the times of {name} must rise from the most urgent on, they are {minutes}")
        return self

    @model_validator(mode="after")
    def _lets_stat_count(self) -> Self:
        stat = self.doctor[DoctorPriority.STAT].minutes
        for place, minutes in self._class_minutes():
            if minutes < stat:
                raise ValueError(f"{place} ({minutes:g} min) is shorter than doctor.stat ({stat:g} min)")
        if self.unscored.minutes < stat:
            raise ValueError(f"unscored ({self.unscored.minutes:g} min) is shorter than doctor.stat")
        return self

    @model_validator(mode="after")
    def _lets_no_unscored_study_sink(self) -> Self:
        unscored = self.unscored.minutes
        longest = {
            f"models.{model}": max(time.minutes for time in classes.values())
            for model, classes in self.models.items()
            if classes
        }
        longest["severity"] = self.severity[Severity.LOW].minutes
        for place, minutes in longest.items():
            if minutes <= unscored:
                raise ValueError(
                    f"the longest time of {place} ({minutes:g} min) is not longer than that of an unscored "
                    f"study ({unscored:g} min), which would then wait as long as those known to be harmless"
                )
        return self

    def _class_minutes(self) -> list[tuple[str, float]]:
        return [(f"severity.{severity}", time.minutes) for severity, time in self.severity.items()] + [
            (f"models.{model}.{key}", time.minutes)
            for model, classes in self.models.items()
            for key, time in classes.items()
        ]


def _frozen(document: _Document) -> Policy:
    figures = document.model_dump(mode="json", exclude={"schema_version"})
    return Policy(
        version=hashlib.sha256(json.dumps(_without_sources(figures), sort_keys=True).encode()).hexdigest()[
            :12
        ],
        unscored_minutes=document.unscored.minutes,
        doctor_minutes={priority: time.minutes for priority, time in document.doctor.items()},
        severity_minutes={severity: time.minutes for severity, time in document.severity.items()},
        model_minutes={
            model: {key: time.minutes for key, time in classes.items()}
            for model, classes in document.models.items()
        },
        tier_bounds=(
            (Tier.CRITICAL, document.tiers.critical_up_to_minutes),
            (Tier.URGENT, document.tiers.urgent_up_to_minutes),
            (Tier.ROUTINE, document.tiers.routine_up_to_minutes),
        ),
    )


def _without_sources(figures: Mapping[str, object]) -> dict[str, object]:
    return {
        key: _without_sources(value) if isinstance(value, dict) else value
        for key, value in figures.items()
        if key != "source"
    }
