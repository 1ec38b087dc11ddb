"""The studies of a table of labelled images, made and run just as they are when they are scored.

A photograph is a study, and so are the DICOM files of one Study Instance UID; the table's column ``study``
joins what else was taken together. A study has one label: that which its images share, or, where only some
of them show a finding, that finding.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from data.errors import ImageError, ManifestError
from data.sources.manifest import read_images
from data.sources.tables import read_rows
from data.study import LabelledImage, Study
from models.card import ModelCard
from models.runtime import Session
from models.suitability import why_not
from serving.intake.gather import Accepted, Rejected, find_studies
from serving.scoring.score import RawScore, run_study


@dataclass(frozen=True, slots=True)
class Listed:
    """An image of the table and its line, the header being line 1."""

    image: LabelledImage
    line: int


@dataclass(frozen=True, slots=True)
class LabelledStudy:
    """A study with its label and its group (the patient or lesion); `line` is that of its first image."""

    study: Study
    label: str
    group: str
    line: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """An image of the table that cannot be scored, and why."""

    path: Path
    line: int
    problem: str


def read_listed(table: Path, card: ModelCard, *, group_column: str, encoding: str) -> tuple[Listed, ...]:
    """Read the table; the labels must be the model's classes.

    Raises
    ------
    ManifestError
        Names the line.
    """
    columns = ("path", "label", group_column)
    images = read_images(table, group_column=group_column, encoding=encoding)
    listed = []
    for image, row in zip(images, read_rows(table, columns=columns, encoding=encoding), strict=True):
        if image.label not in card.class_keys:
            classes = ", ".join(card.class_keys)
            raise row.error(f"label {image.label!r} is no class of {card.name}, which knows {classes}")
        listed.append(Listed(image, row.line))
    return tuple(listed)


def find_labelled(
    table: Path, listed: Sequence[Listed], card: ModelCard, *, scratch: Path
) -> tuple[list[LabelledStudy], list[Unusable]]:
    """Make studies of the listed images; give also those that cannot be scored.

    Parameters
    ----------
    table : Path
        Where they are listed, for messages.
    listed : sequence of Listed
        From :func:`read_listed`.
    card : ModelCard
        Of the model that is to score them.
    scratch : Path
        An existing folder for what comes out of an archive (which is then refused).

    Raises
    ------
    ManifestError
        If the images of one study have labels or groups that contradict each other.
    """
    listed_of = {item.image.path: item for item in listed}
    of_study: dict[str, list[tuple[Study, list[Listed]]]] = {}
    unusable: list[Unusable] = []
    left = dict(listed_of)
    for found in find_studies(list(listed_of), scratch=scratch):
        names = _names(found)
        items = [listed_of[path] for path in names if path in listed_of]
        for path in names:
            left.pop(path, None)
        if isinstance(found, Rejected):
            unusable += [Unusable(item.image.path, item.line, str(found.error)) for item in items]
        elif items:
            of_study.setdefault(_key(table, found.study, items), []).append((found.study, items))
    unusable += [
        Unusable(item.image.path, item.line, "is an archive; list the images in it") for item in left.values()
    ]
    labelled = []
    for parts in of_study.values():
        items = [item for _, found_items in parts for item in found_items]
        study = replace(parts[0][0], series=tuple(series for part, _ in parts for series in part.series))
        label, group = _label(table, items, card), _group(table, items)
        if misfit := why_not(study, card.applies_to, is_named=True):
            problem = f"is not for {card.name}, which {misfit}"
            unusable += [Unusable(item.image.path, item.line, problem) for item in items]
        else:
            labelled.append(LabelledStudy(study, label, group, min(item.line for item in items)))
    return labelled, sorted(unusable, key=lambda one: one.line)


def run_labelled(
    studies: Iterable[LabelledStudy], session: Session, *, jobs: int
) -> Iterator[tuple[LabelledStudy, RawScore | ImageError]]:
    """Run the model on studies, some at a time; give them in their order with what came of it.

    Raises
    ------
    models.errors.OutputError
        If the model fails.
    """

    def run(one: LabelledStudy) -> tuple[LabelledStudy, RawScore | ImageError]:
        try:
            return one, run_study(one.study, session)
        except ImageError as error:
            return one, error

    # decoding and the network both let other threads run
    with ThreadPoolExecutor(jobs) as threads:
        yield from threads.map(run, studies)


def _names(found: Accepted | Rejected) -> list[Path]:
    if isinstance(found, Rejected):
        return list(found.paths)
    return [*found.study.paths, *map(Path, found.copies)]


def _key(table: Path, study: Study, items: Sequence[Listed]) -> str:
    names = {item.image.study: item for item in items if item.image.study}
    if len(names) > 1:
        first, second, *_ = sorted(names.values(), key=lambda item: item.line)
        raise ManifestError(
            table,
            f"{second.image.path} is said to be of study {second.image.study!r}, but its Study Instance UID "
            f"is that of line {first.line}, {first.image.study!r}",
            row=second.line,
        )
    return f"named {next(iter(names))}" if names else f"uid {study.uid}"


def _label(table: Path, items: Sequence[Listed], card: ModelCard) -> str:
    findings = {spec.key for spec in card.classes if spec.is_finding}
    lines = {item.image.label: item.line for item in sorted(items, key=lambda item: -item.line)}
    shown = [label for label in lines if label in findings] or list(lines)
    if len(shown) > 1:
        first, second, *_ = sorted(shown, key=lines.__getitem__)
        raise ManifestError(
            table,
            f"label {second!r} contradicts {first!r} in line {lines[first]}, "
            "which is of the same study or the same picture",
            row=lines[second],
        )
    return shown[0]


def _group(table: Path, items: Sequence[Listed]) -> str:
    first, *others = sorted(items, key=lambda item: item.line)
    for other in others:
        if other.image.group != first.image.group:
            raise ManifestError(
                table,
                f"group {other.image.group!r} contradicts {first.image.group!r} in line {first.line}, "
                "which is of the same study or the same picture",
                row=other.line,
            )
    return first.image.group
