"""Makes the answers of QIDO-RS: each hit as the DICOM JSON model, at its level with those above it.

References
----------
PS3.18 10.6.3.3 (attributes returned), PS3.4 C.6.2.1 (study root).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

from data.dicom.json_model import JsonDataset, attribute_of
from data.dicom.photograph import PhotographFacts, sop_class_of
from data.study import Modality
from serving.dicomweb.matching import MORE, Search
from serving.dicomweb.service import DicomWeb, Place
from serving.identity.caller import Caller
from serving.store.audit_chain import Action, AuditEvent
from serving.store.search import (
    OF_INSTANCE,
    OF_SERIES,
    Condition,
    Key,
    Page,
    count_images_of_series,
    search_images,
    search_series,
    search_studies,
    series_of_studies,
)
from serving.store.tenancy import NETWORK
from serving.store.times import from_us

Hit = Any
"""A row of the search; its columns are those of the tables."""


class Level(IntEnum):
    """What is searched for."""

    STUDY = 1
    SERIES = 2
    INSTANCE = 3


KEYS_OF: Final[dict[Level, frozenset[Key]]] = {
    Level.STUDY: frozenset(Key) - OF_SERIES - OF_INSTANCE,
    Level.SERIES: frozenset(Key) - OF_INSTANCE,
    Level.INSTANCE: frozenset(Key),
}
_SEARCHES: Final[dict[Level, Callable[..., list[Hit]]]] = {
    Level.STUDY: search_studies,
    Level.SERIES: search_series,
    Level.INSTANCE: search_images,
}


@dataclass(frozen=True, slots=True)
class Found:
    """A page of hits, and what must be said of it."""

    models: tuple[JsonDataset, ...]
    warnings: tuple[str, ...]


def search(
    dicomweb: DicomWeb,
    level: Level,
    asked: Search,
    *,
    within: Place | None,
    caller: Caller,
    base_url: str,
    by: str = "dicomweb",
) -> Found:
    """Search within what the caller may see, and write down which studies they were shown.

    Parameters
    ----------
    dicomweb : DicomWeb
        The stored studies.
    level : Level
        What is searched for.
    asked : Search
        What must match, and which page.
    within : Place or None
        The study or series whose parts are searched; then only what is below it is returned.
    caller : Caller
        Whose scope it is.
    base_url : str
        Where the service was reached.
    by : str
        By which way, as the audit trail says it.
    """
    conditions = (*asked.conditions, *_conditions_of(within))
    page = Page(asked.page.limit + 1, asked.page.offset)  # one more tells whether there are more
    with dicomweb.database.reading() as connection, connection.begin():
        hits = _SEARCHES[level](connection, scope=caller.scope, conditions=conditions, page=page)
        has_more = len(hits) > asked.page.limit
        hits = hits[: asked.page.limit]
        study_ids = list(dict.fromkeys(hit.study_id for hit in hits))
        is_whole = within is None  # what is above is returned where it is not known already
        modalities = (
            series_of_studies(connection, scope=caller.scope, study_ids=study_ids)
            if level is Level.STUDY
            else {}
        )
        counts = (
            count_images_of_series(connection, scope=caller.scope, study_ids=study_ids)
            if level is Level.SERIES
            else {}
        )
    models = []
    for hit in hits:
        model = study_attributes(hit) if is_whole else {}
        model |= _identifiers(hit, level)
        if level is Level.STUDY:
            model |= _of_study(hit, modalities.get(hit.study_id, ()))
        if level is Level.SERIES or (level is Level.INSTANCE and (within is None or not within.series_uid)):
            model |= series_attributes(hit)
        if level is Level.SERIES:
            model["00201209"] = attribute_of("IS", counts.get((hit.study_id, hit.series_uid), 0))
        if level is Level.INSTANCE:
            model |= image_attributes(hit)
        model["00081190"] = attribute_of("UR", f"{base_url}/{_place_of(hit, level).path}")
        models.append(dict(sorted(model.items())))
    _note(dicomweb, level, hits, asked, caller=caller, by=by)
    return Found(tuple(models), (*asked.warnings, *([MORE] if has_more else ())))


def study_attributes(hit: Hit) -> JsonDataset:
    """Give what a study is listed by; the text of the model is UTF-8."""
    return {
        "00080005": attribute_of("CS", "ISO_IR 192"),
        "00080020": attribute_of("DA", hit.date),
        "00080030": attribute_of("TM", hit.time),
        "00080050": attribute_of("SH", hit.accession),
        "00080056": attribute_of("CS", "ONLINE"),
        "00080090": attribute_of("PN", hit.referring_physician),
        "00080201": attribute_of("SH", hit.timezone),
        "00081030": attribute_of("LO", hit.description),
        "00100010": attribute_of("PN", hit.patient_name),
        "00100020": attribute_of("LO", hit.patient),
        "00100021": attribute_of("LO", hit.issuer),
        "00100030": attribute_of("DA", hit.birth_date),
        "00100040": attribute_of("CS", hit.sex),
        "0020000D": attribute_of("UI", hit.uid),
        "00200010": attribute_of("SH", hit.number),
    }


def series_attributes(hit: Hit) -> JsonDataset:
    """Give what a series is listed by."""
    return {
        "00080060": attribute_of("CS", hit.series_modality),
        "0008103E": attribute_of("LO", hit.series_description),
        "00180015": attribute_of("CS", hit.series_body_part),
        "00200011": attribute_of("IS", hit.series_number),
    }


def image_attributes(hit: Hit) -> JsonDataset:
    """Give what an image is listed by; a photograph's class is that of the object which is made of it."""
    return {
        "00080016": attribute_of("UI", hit.image_sop_class_uid or _class_of_photograph(hit)),
        "00200013": attribute_of("IS", hit.image_number),
        "00280008": attribute_of("IS", hit.image_n_frames),
        "00280010": attribute_of("US", hit.image_rows),
        "00280011": attribute_of("US", hit.image_columns),
    }


def _class_of_photograph(hit: Hit) -> str:
    facts = PhotographFacts(
        "", "", "", Modality.of(hit.image_modality), from_us(0), n_frames=hit.image_n_frames
    )
    return sop_class_of(facts)


def _of_study(hit: Hit, modalities: Sequence[str]) -> JsonDataset:
    return {
        "00080061": attribute_of("CS", *sorted(set(modalities))),
        "00201206": attribute_of("IS", len(modalities)),
        "00201208": attribute_of("IS", hit.n_images),
    }


def _identifiers(hit: Hit, level: Level) -> JsonDataset:
    found: JsonDataset = {
        "00080005": attribute_of("CS", "ISO_IR 192"),
        "00080056": attribute_of("CS", "ONLINE"),
        "0020000D": attribute_of("UI", hit.uid),
    }
    if level >= Level.SERIES:
        found["0020000E"] = attribute_of("UI", hit.series_uid)
    if level is Level.INSTANCE:
        found["00080018"] = attribute_of("UI", hit.image_sop_instance_uid)
    return found


def _place_of(hit: Hit, level: Level) -> Place:
    return Place(
        hit.uid,
        hit.series_uid if level >= Level.SERIES else None,
        hit.image_sop_instance_uid if level is Level.INSTANCE else None,
    )


def _conditions_of(within: Place | None) -> list[Condition]:
    if within is None:
        return []
    found = [Condition(Key.STUDY_UID, values=(within.study_uid,))]
    if within.series_uid is not None:
        found.append(Condition(Key.SERIES_UID, values=(within.series_uid,)))
    return found


def _note(
    dicomweb: DicomWeb, level: Level, hits: Sequence[Hit], asked: Search, *, caller: Caller, by: str
) -> None:
    """Write down which studies somebody was shown, and by which keys they were sought; no value of a key."""
    details: dict[str, object] = {
        "by": by,
        "what": level.name.lower(),
        "keys": sorted({str(one.key) for one in asked.conditions}),
        "studies": list(dict.fromkeys(hit.uid for hit in hits)),
        "behind": asked.page.offset,
    }
    site = caller.home_site or NETWORK
    dicomweb.trail.note(
        AuditEvent(Action.VIEWED_LIST, caller.who, site, dicomweb.trail.clock(), details=details)
    )
