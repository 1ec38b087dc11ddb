"""What a site demands of what it takes, beyond that it can be read: a patient's identifier, its own patients.

By default nothing is demanded. A Patient ID may be empty by the standard (type 2, PS3.3 C.7.1.1), and the CT
of somebody unconscious must not wait in a list while others are read; so a hospital that wants its devices'
images to name a patient says so, for the doors and modalities that it means.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from data.errors import ImageError, Reason
from data.study import Study
from serving.errors import StartError

EVERYWHERE = "*"

# What stands for a modality in a demand on photographs that are no DICOM: they cannot name a patient.
PHOTOGRAPH = "photograph"

# The door of what is taken in again (:class:`serving.intake.door.Door`).
FROM_QUARANTINE = "quarantine"

Demand = Annotated[str, Field(pattern=r"^(\*|[a-z-]{1,16})/(\*|photograph|[A-Z]{2,16})$")]


class _Rules(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    demand_patient_id: tuple[Demand, ...] | None = None
    issuers: tuple[Annotated[str, Field(min_length=1, max_length=64)], ...] = ()


class _File(_Rules):
    sites: dict[str, _Rules] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Admission:
    """What each site demands.

    Parameters
    ----------
    demands : mapping of str to tuple of str
        By site, `EVERYWHERE` standing for those that say nothing themselves: ``door/modality``, each of them
        ``*`` for any; photographs are meant by ``door/photograph`` alone.
    site_of_issuer : mapping of str to str
        Which site's patients an Issuer of Patient ID names; one that is not listed is anybody's.
    """

    demands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    site_of_issuer: Mapping[str, str] = field(default_factory=dict)

    def refusal_of(
        self, study: Study, name: str, *, is_dicom: bool, site: str, door: str
    ) -> ImageError | None:
        """Say why a site does not take a study that can be read, None if it does."""
        patient = study.patient
        theirs = None if patient is None else self.site_of_issuer.get(patient.issuer)
        if theirs is not None and theirs != site:
            return ImageError(
                name,
                Reason.WRONG_SITE,
                f"names a patient of the site {theirs!r}, by the issuer of the identifier",
                "send it as that site, or have an administrator assign it there",
            )
        if patient is not None and patient.identifier:
            return None
        modality = study.series[0].modality.value if is_dicom else PHOTOGRAPH
        if not self._is_demanded(modality, site=site, door=door):
            return None
        return ImageError(
            name,
            Reason.NO_PATIENT_ID,
            "names no patient, which this site demands",
            "enter the Patient ID and send it again, or have it entered in the quarantine",
        )

    def _is_demanded(self, modality: str, *, site: str, door: str) -> bool:
        for demand in self.demands.get(site, self.demands.get(EVERYWHERE, ())):
            at, of = demand.split("/")
            is_meant = of == modality or (of == "*" and modality != PHOTOGRAPH)
            # What is taken in again must meet every demand of the site: it came by one of its doors.
            if is_meant and (at in {"*", door} or door == FROM_QUARANTINE):
                return True
        return False


def read_admission(path: Path | None) -> Admission:
    """Read a hospital's rules, none if there is no file.

    Raises
    ------
    StartError
        If the file cannot be read or says what it cannot mean.
    """
    if path is None:
        return Admission()
    try:
        said = _File.model_validate(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartError(f"FIRSTREAD_ADMISSION: {path} cannot be read ({error}).") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StartError(f"FIRSTREAD_ADMISSION: {path}: {place}: {first['msg']}.") from error
    demands = {EVERYWHERE: said.demand_patient_id or ()}
    demands |= {
        site: rules.demand_patient_id
        for site, rules in said.sites.items()
        if rules.demand_patient_id is not None
    }
    site_of_issuer: dict[str, str] = {}
    for site, rules in said.sites.items():
        for issuer in rules.issuers:
            if site_of_issuer.setdefault(issuer, site) != site:
                raise StartError(f"FIRSTREAD_ADMISSION: {path}: the issuer {issuer!r} is that of two sites.")
    if said.issuers:
        raise StartError(f"FIRSTREAD_ADMISSION: {path}: issuers belong to a site: [sites.NAME].")
    return Admission(demands, site_of_issuer)
