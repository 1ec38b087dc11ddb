"""What a check found, as values: for the program that reads its JSON, and for the tables on the terminal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from data.errors import MissingImagesError
from training.attributes import attributes_of
from training.check.cost import Cost, measure_cost
from training.check.leaks import Leak, Likeness, find_leaks
from training.check.survey import Survey, survey
from training.dataset import LabelledSet
from training.errors import DatasetError
from training.run import write_json
from training.work import Work

# A leak of this part of the images moves a figure by no more than that, a tenth of the narrowest interval
# that a card of ours quotes. HAM10000 and Kermany have one pair each that their publishers filed under two
# lesions and two children; a set cannot be told to mend that before it may be used at all.
TOLERATED_LEAK = 0.001
# So many pairs, files and groups are shown; the JSON holds them all.
N_SHOWN = 10


@dataclass(frozen=True)
class CountRow:
    """How many images and groups of something lie in each part of the split."""

    name: str
    images: Mapping[str, int]
    groups: Mapping[str, int]


@dataclass(frozen=True)
class CheckReport:
    """What `fit --check` found.

    `errors` must be mended before training, `warnings` should be known; both are whole sentences.
    """

    recipe: str
    n_images: int
    n_groups: int
    parts: tuple[str, ...]
    classes: tuple[CountRow, ...]
    attributes: Mapping[str, tuple[CountRow, ...]]
    missing: tuple[str, ...]
    unreadable: tuple[Mapping[str, object], ...]
    leaks: tuple[Mapping[str, object], ...]
    n_alike_within_fold: int
    torn_groups: tuple[str, ...]
    cost: Cost | None
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """Give everything as a JSON object; times in seconds, space in bytes."""
        content = asdict(self)
        if self.cost is not None:
            content["cost"]["seconds"] = self.cost.seconds
        return content


def check(work: Work, *, n_threads: int) -> CheckReport:
    """Look at a recipe's data and at what training it would take; nothing of the run is written.

    Raises
    ------
    TrainingError
        If the set cannot be read at all: a label without a class, a group in two folds, too few groups.
    """
    try:
        labelled = work.labelled
    except DatasetError as error:
        if isinstance(error.__cause__, MissingImagesError):
            return _without_images(work, error.__cause__)
        raise
    seen = survey(labelled.images, work.recipe.input, n_threads=n_threads)
    alike = find_leaks(labelled, seen)
    cost, no_cost = _cost(work, labelled, seen)
    return _report(work, labelled, seen, alike, cost, no_cost)


def _cost(work: Work, labelled: LabelledSet, seen: Survey) -> tuple[Cost | None, str]:
    """Give the cost, or why it cannot be measured."""
    try:
        cost = measure_cost(
            work.recipe,
            labelled,
            readable=seen.readable,
            run=work.run,
            caches=work.caches,
            device=work.device,
        )
    except DatasetError as error:
        return None, str(error)
    return cost, ""


def _report(  # noqa: PLR0917 (what was found, one by one)
    work: Work, labelled: LabelledSet, seen: Survey, alike: Likeness, cost: Cost | None, no_cost: str
) -> CheckReport:
    part_of_row = _parts(work, labelled)
    parts = tuple(dict.fromkeys(part for part in work.recipe.folds.parts if part in set(part_of_row)))
    labels = np.array([image.label for image in labelled.images])
    attributes = {
        attribute.name: _count(attribute.values, attribute.order, part_of_row, labelled)
        for attribute in attributes_of(labelled.images)
    }
    leaks = tuple(_leak(labelled, leak, part_of_row) for leak in alike.leaks)
    errors, warnings = _judge(work, labelled, seen, alike, leaks, cost)
    if no_cost:
        errors.append(no_cost)
    return CheckReport(
        recipe=work.recipe.name,
        n_images=len(labelled.images),
        n_groups=len(np.unique(labelled.groups)),
        parts=parts,
        classes=_count(labels, work.recipe.class_keys, part_of_row, labelled),
        attributes=attributes,
        missing=(),
        unreadable=tuple(
            {"path": str(labelled.images[one.row].path), "code": one.code, "problem": one.sentence}
            for one in seen.unreadable
        ),
        leaks=leaks,
        n_alike_within_fold=alike.n_within_fold,
        torn_groups=alike.torn_groups,
        cost=cost,
        errors=tuple(errors),
        warnings=tuple(warnings),
    )


def _without_images(work: Work, absent: MissingImagesError) -> CheckReport:
    """Report a table whose images are not all there: more cannot be said."""
    n_missing = len(absent.missing)
    return CheckReport(
        recipe=work.recipe.name,
        n_images=0,
        n_groups=0,
        parts=(),
        classes=(),
        attributes={},
        missing=tuple(f"{absent.table}, line {line}: {path}" for line, path in absent.missing),
        unreadable=(),
        leaks=(),
        n_alike_within_fold=0,
        torn_groups=(),
        cost=None,
        errors=(f"{_n(n_missing, 'image')} of {absent.table} {_are(n_missing)} missing",),
        warnings=(),
    )


def _judge(  # noqa: PLR0917 (what was found, one by one)
    work: Work,
    labelled: LabelledSet,
    seen: Survey,
    alike: Likeness,
    leaks: Sequence[Mapping[str, object]],
    cost: Cost | None,
) -> tuple[list[str], list[str]]:
    """Say what must be mended and what should be known."""
    errors: list[str] = []
    warnings: list[str] = []
    if n_unreadable := len(seen.unreadable):
        errors.append(f"{_n(n_unreadable, 'image')} cannot be read")
    if leaks:
        # between folds that train alike a pair does no harm now, but it would in another choice of folds
        harmful = [leak for leak in leaks if work.recipe.folds.cross or len(set(_listed(leak["parts"]))) > 1]
        problem = (
            f"{_n(len(leaks), 'pair')} of one picture {_are(len(leaks))} torn between folds by two groups, "
            f"{len(harmful)} of them between what trains and what measures; give both of a pair one group"
        )
        (errors if len(harmful) > TOLERATED_LEAK * len(labelled.images) else warnings).append(problem)
    if alike.torn_groups:
        warnings.append(
            f"{_n(len(alike.torn_groups), 'group')} of the official split "
            f"{_are(len(alike.torn_groups))} torn between folds; figures on it flatter"
        )
    if cost is not None and cost.cache_bytes + cost.run_bytes > cost.free_bytes:
        needed, free = (_gigabytes(n) for n in (cost.cache_bytes + cost.run_bytes, cost.free_bytes))
        errors.append(f"cache and run need {needed}, but the disk has {free} free")
    return errors, warnings


def _parts(work: Work, labelled: LabelledSet) -> list[str]:
    """Name the part of the split that each row lies in; crossed, all are tested."""
    part_of_fold = {fold: part for part, folds in work.recipe.folds.parts.items() for fold in folds}
    return [part_of_fold.get(int(fold), "unused") for fold in labelled.folds]


def _count(
    values: np.ndarray[tuple[int, ...], np.dtype[np.str_]],
    order: tuple[str, ...],
    part_of_row: list[str],
    labelled: LabelledSet,
) -> tuple[CountRow, ...]:
    rows = []
    known = [*order, *(["not known"] if "" in values else [])]
    for name in known:
        chosen = np.flatnonzero(values == ("" if name == "not known" else name))
        images = Counter(part_of_row[row] for row in chosen)
        groups = Counter(
            part for part, _ in {(part_of_row[row], labelled.images[row].group) for row in chosen}
        )
        if images:
            rows.append(CountRow(name, dict(images), dict(groups)))
    return tuple(rows)


def _listed(value: object) -> list[object]:
    return list(value) if isinstance(value, list) else []


def _leak(labelled: LabelledSet, leak: Leak, part_of_row: Sequence[str]) -> dict[str, object]:
    both = (labelled.images[leak.first], labelled.images[leak.second])
    return {
        "paths": [str(image.path) for image in both],
        "groups": [image.group for image in both],
        "labels": [image.label for image in both],
        "folds": [int(labelled.folds[leak.first]), int(labelled.folds[leak.second])],
        "parts": [part_of_row[row] for row in (leak.first, leak.second)],
        "distance": leak.distance,
        "is_turned": leak.is_turned,
        "is_same_file": leak.is_same_file,
    }


def write_report(report: CheckReport, path: Path) -> None:
    """Write the report as JSON, whole or not at all."""
    write_json(path, report.as_json())


def _n(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count != 1 else ''}"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _gigabytes(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB"
