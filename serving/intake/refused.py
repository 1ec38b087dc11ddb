"""What of an upload is not taken: which file it is for the quarantine, and what its sender is told."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from data.errors import ImageError, Reason
from serving.errors import Rejection
from serving.intake.gather import Accepted, Rejected
from serving.quarantine.keeping import Held, Refusal
from serving.store.objects import StoredObject
from serving.store.quarantine import HeaderFacts
from serving.store.receipt import ArrivedInstance, ArrivedStudy


@dataclass(frozen=True, slots=True)
class Refused:
    """A refused file and the lines about it: one for each name that its sender knows."""

    refusal: Refusal
    lines: tuple[Rejection, ...]


def found_refused(rejected: Sequence[Rejected], names: Mapping[Path, str]) -> list[Refused]:
    """Give the files of what was rejected, each once, with every line about it.

    A member that does not come out of its archive has no bytes of its own: the archive is kept for it, once
    for all of them. What came out is kept by itself. `names` are those of the files that were sent.
    """
    lines: dict[Path, list[Rejection]] = {}
    first: dict[Path, tuple[str, ImageError]] = {}
    for item in rejected:
        for number, name in enumerate(item.names):
            path = item.paths[number] if number < len(item.paths) else item.paths[0]
            first.setdefault(path, (names.get(path, name), item.error))
            lines.setdefault(path, []).append(_line(name, item.error))
    found: list[Refused] = []
    for path, (name, error) in first.items():
        refusal = Refusal.of(path, name, error, n_files=len(lines[path]))
        found.append(Refused(refusal, tuple(lines[path])))
    return found


def refused_late(item: Accepted, error: ImageError, stored: Mapping[Path, StoredObject]) -> list[Refused]:
    """Give the files of a study that could be read and is not taken all the same."""
    names, facts = _names_of(item), _facts_of(item)
    return [_late(path, names[path], error, facts[path], stored) for path in item.study.paths]


def duplicates_of(
    item: Accepted, duplicates: Sequence[ArrivedInstance], stored: Mapping[Path, StoredObject]
) -> list[Refused]:
    """Give the files of a study whose UID another image has."""
    names, facts = _names_of(item), _facts_of(item)
    refused = {image.sop_instance_uid for image in duplicates}
    return [
        _late(path, names[path], _duplicate(names[path][0]), facts[path], stored)
        for path in item.study.paths
        if facts[path].sop_instance_uid in refused
    ]


def without(
    arrived: ArrivedStudy, item: Accepted, duplicates: Sequence[ArrivedInstance]
) -> tuple[ArrivedStudy, tuple[str, ...]]:
    """Give a study without the images that were refused, and the names of the others."""
    refused = {image.sop_instance_uid for image in duplicates}
    uid_of = {path: facts.sop_instance_uid for path, facts in _facts_of(item).items()}
    images = tuple(image for image in arrived.instances if image.sop_instance_uid not in refused)
    taken = tuple(
        name for path, names in _names_of(item).items() if uid_of[path] not in refused for name in names
    )
    return replace(arrived, instances=images), taken


def lines_of(refused: Sequence[Refused], held: Mapping[Path, Held]) -> list[Rejection]:
    """Give the lines of all refused files, with where each is kept."""
    lines: list[Rejection] = []
    for one in refused:
        entry = held.get(one.refusal.path)
        if entry is None:
            lines.extend(one.lines)
        else:
            lines.extend(replace(line, quarantine=entry.key, is_kept=entry.is_kept) for line in one.lines)
    return lines


def _late(
    path: Path,
    names: Sequence[str],
    error: ImageError,
    facts: HeaderFacts,
    stored: Mapping[Path, StoredObject],
) -> Refused:
    # The store has the file by now, under its hash.
    refusal = Refusal(path, names[0], error, stored[path], facts)
    return Refused(refusal, tuple(_line(name, error) for name in names))


def _names_of(item: Accepted) -> dict[Path, list[str]]:
    """Give the names of each file of a study, those of its copies behind its own."""
    names = {path: [name] for path, name in zip(item.study.paths, item.names, strict=True)}
    for name, original in zip(item.copies, item.originals, strict=True):
        names[original].append(name)
    return names


def _facts_of(item: Accepted) -> dict[Path, HeaderFacts]:
    patient = item.study.patient
    return {
        image.path: HeaderFacts(
            issuer=patient.issuer if patient else "",
            patient=patient.identifier if patient else "",
            study_uid=item.study.uid,
            series_uid=series.uid,
            sop_instance_uid=image.sop_instance_uid,
            sop_class_uid=image.sop_class_uid or "",
            modality=series.modality,
        )
        for series in item.study.series
        for image in series.instances
    }


def _duplicate(name: str) -> ImageError:
    return ImageError(
        name,
        Reason.DUPLICATE_UID,
        "has the SOP Instance UID of an image of its study that has other bytes",
        "find out which is right; one that is an image of its own needs a UID of its own",
    )


def _line(name: str, error: ImageError) -> Rejection:
    return Rejection(name, error.reason, error.problem, error.remedy)
