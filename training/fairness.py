"""Measures a calibrated run on the groups of its test folds, and keeps the figures in the run's folder."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data.errors import DataError
from data.photo import decode_photo, is_photo
from data.skin_tone import SkinTone, estimate_skin
from data.study import LabelledImage, Modality
from models.calibration import softmax
from models.card import Calibration, OperatingPoint, Severity
from training.attributes import attributes_of
from training.dataset import LabelledSet
from training.errors import DatasetError, RunError
from training.groups import AttributeFigures, JudgedSet, measure_groups
from training.predictions import ScoredSet, read_scored
from training.recipe import Recipe
from training.run import Run, read_json, write_json

OF_SKIN = frozenset({Modality.DERMOSCOPY, Modality.PHOTOGRAPH})
_FIGURES = TypeAdapter(tuple[AttributeFigures, ...])
# The estimate looks at 128 pixels a side; a photograph need not be decoded much larger.
_AT_LEAST_PX = 256


def measure_run(recipe: Recipe, labelled: LabelledSet, run: Run) -> tuple[AttributeFigures, ...]:
    """Measure the test folds of a run by groups, at the card's own operating point.

    Returns
    -------
    tuple of AttributeFigures
        As they stand in the run's ``groups.json``.

    Raises
    ------
    RunError
        If the run was not calibrated yet.
    DatasetError
        If an image of skin cannot be read.
    """
    images = [labelled.images[row] for row in labelled.rows_in(recipe.folds.test)]
    shows_skin = OF_SKIN.issuperset(recipe.applies_to.modalities)
    attributes = attributes_of(images, [estimate_tone(image) for image in images] if shows_skin else None)
    calibrated = read_json(run.calibration)
    judged = judge(
        recipe,
        read_scored(run.predictions("test")),
        Calibration.model_validate(calibrated["calibration"]),
        [OperatingPoint.model_validate(point) for point in calibrated["operating_points"]],
    )
    measured = measure_groups(judged, attributes, seed=recipe.seed)
    write_json(groups_file(run), {"groups": _FIGURES.dump_python(measured, mode="json")})
    return measured


def read_groups(run: Run) -> tuple[AttributeFigures, ...]:
    """Read what :func:`measure_run` wrote.

    Raises
    ------
    RunError
        If the file is missing or holds something else.
    """
    path = groups_file(run)
    try:
        return _FIGURES.validate_python(read_json(path).get("groups"))
    except ValidationError as error:
        raise RunError(
            f"{path} holds no figures by group; make it again with: firstread-train export"
        ) from error


def groups_file(run: Run) -> Path:
    """Where a run's figures by group stand."""
    return run.folder / "groups.json"


def judge(
    recipe: Recipe, scored: ScoredSet, calibration: Calibration, points: Iterable[OperatingPoint]
) -> JudgedSet:
    """Put together what the calibrated model says at its operating point 'balanced'.

    The class that is watched on its own is the recipe's first critical one.
    """
    return JudgedSet(
        probabilities=softmax(scored.logits, calibration.temperature),
        labels=scored.labels,
        lesions=scored.groups,
        class_keys=recipe.class_keys,
        positive_keys=recipe.positive,
        threshold=next(point.threshold for point in points if point.name == "balanced"),
        watched_key=next((spec.key for spec in recipe.classes if spec.severity is Severity.CRITICAL), None),
    )


def estimate_tone(image: LabelledImage) -> SkinTone | None:
    """Estimate the tone of the skin in a photograph's file; None where there is no telling.

    Raises
    ------
    DatasetError
        If the file cannot be read.
    """
    if not is_photo(image.path):
        return None
    try:
        estimate = estimate_skin(decode_photo(image.path, at_least_px=_AT_LEAST_PX))
    except DataError as error:
        raise DatasetError(str(error)) from error
    return None if estimate is None else estimate.tone
