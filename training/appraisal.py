"""Measures what a finished run is worth beyond its mean figures: to each group, as evidence, with strangers.

What it finds stands in the run's folder, ``groups.json``, ``evidence.json`` and ``abstention.json``, where
the card takes it from.
"""

from collections.abc import Iterable
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from data.errors import DataError
from data.photo import decode_photo, is_photo
from data.skin_tone import SkinTone, estimate_skin
from data.study import LabelledImage, Modality
from models.card import Calibration, Metric, OperatingPoint, PoolingParameters, Severity
from models.runtime import Session
from models.scaling import Scaling
from training.abstention import AbstentionFigures, NoveltyMaterial, abstention_metrics, measure_abstention
from training.attributes import attributes_of
from training.dataset import LabelledSet, Pixels
from training.errors import DatasetError, RunError
from training.evidence_curves import EvidenceFigures, choose_pictures, summarise, trace_curves
from training.groups import AttributeFigures, JudgedSet, measure_groups
from training.predictions import read_scored
from training.recipe import Recipe
from training.run import Run, read_json, write_json
from training.units import Fit, Judged, judge_units

OF_SKIN = frozenset({Modality.DERMOSCOPY, Modality.PHOTOGRAPH})
# The first skin model's gains are known to within .04 from so many; at 160 px they cost 48 s of one core.
N_TRACED = 64

_FIGURES = TypeAdapter(tuple[AttributeFigures, ...])
_EVIDENCE = TypeAdapter(EvidenceFigures)
_ABSTENTION = TypeAdapter(AbstentionFigures)
# The estimate looks at 128 pixels a side; a photograph need not be decoded much larger.
_AT_LEAST_PX = 256


def measure_groups_of(recipe: Recipe, labelled: LabelledSet, run: Run) -> tuple[AttributeFigures, ...]:
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
    calibrated = read_json(run.calibration)
    fit = Fit(
        Scaling.of(Calibration.model_validate(calibrated["calibration"])),
        PoolingParameters.model_validate(calibrated.get("pooling_parameters", {})),
    )
    judged = judge_units(recipe, read_scored(run.predictions("test")), fit)
    image_of_name = dict(zip(labelled.names, labelled.images, strict=True))
    images = [image_of_name[name] for name in judged.names.tolist()]
    shows_skin = OF_SKIN.issuperset(recipe.applies_to.modalities)
    attributes = attributes_of(images, [estimate_tone(image) for image in images] if shows_skin else None)
    points = [OperatingPoint.model_validate(point) for point in calibrated["operating_points"]]
    measured = measure_groups(put_to_use(recipe, judged, points), attributes, seed=recipe.seed)
    write_json(groups_file(run), {"groups": _FIGURES.dump_python(measured, mode="json")})
    return measured


def read_groups(run: Run) -> tuple[AttributeFigures, ...]:
    """Read what :func:`measure_groups_of` wrote.

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


def measure_evidence(
    recipe: Recipe, session: Session, labelled: LabelledSet, pixels: Pixels, run: Run
) -> EvidenceFigures:
    """Trace the maps of an exported model on 64 images of the test folds.

    Parameters
    ----------
    recipe : Recipe
        Its folds and its seed.
    session : Session
        Of the model that the run was exported to.
    labelled : LabelledSet
        The rows.
    pixels : (n_rows, height, width, 3) uint8
        Their pictures as the model's inputs.
    run : Run
        Its ``evidence.json`` is written.
    """
    rows = labelled.rows_in(recipe.folds.test)
    groups = labelled.groups
    rows = rows[choose_pictures(labelled.labels[rows], groups[rows], N_TRACED, seed=recipe.seed)]
    curves = trace_curves(session, pixels[rows], seed=recipe.seed)
    figures = summarise(curves, groups[rows], seed=recipe.seed)
    write_json(evidence_file(run), _EVIDENCE.dump_python(figures, mode="json"))
    return figures


def read_evidence(run: Run) -> EvidenceFigures:
    """Read what :func:`measure_evidence` wrote.

    Raises
    ------
    RunError
        If the file is missing or holds something else.
    """
    path = evidence_file(run)
    try:
        return _EVIDENCE.validate_python(read_json(path))
    except ValidationError as error:
        raise RunError(
            f"{path} holds no figures of evidence; make it again: firstread-train export"
        ) from error


def measure_abstention_of(
    recipe: Recipe, session: Session, material: NoveltyMaterial, run: Run
) -> tuple[Metric, ...]:
    """Show an exported model pictures of its own kind and foreign ones; give the figures for its card.

    Raises
    ------
    DatasetError
        If a set of foreign pictures is there but cannot be read.
    """
    try:
        figures = measure_abstention(session, material.own, datasets=material.datasets, seed=recipe.seed)
    except DataError as error:
        raise DatasetError(str(error)) from error
    write_json(abstention_file(run), _ABSTENTION.dump_python(figures, mode="json"))
    return abstention_metrics(figures, recipe.folds.text_of(recipe.folds.test))


def read_abstention(run: Run) -> AbstentionFigures | None:
    """Read what :func:`measure_abstention_of` wrote; None for a run that was exported before it was measured.

    Raises
    ------
    RunError
        If the file holds something else.
    """
    path = abstention_file(run)
    if not path.exists():
        return None
    try:
        return _ABSTENTION.validate_python(read_json(path))
    except ValidationError as error:
        raise RunError(
            f"{path} holds no figures of abstention; make it again with: firstread-train export"
        ) from error


def abstention_file(run: Run) -> Path:
    """Where a run's figures of own and foreign pictures stand."""
    return run.folder / "abstention.json"


def evidence_file(run: Run) -> Path:
    """Where a run's figures of its maps stand."""
    return run.folder / "evidence.json"


def groups_file(run: Run) -> Path:
    """Where a run's figures by group stand."""
    return run.folder / "groups.json"


def put_to_use(recipe: Recipe, judged: Judged, points: Iterable[OperatingPoint]) -> JudgedSet:
    """Put together what the calibrated model says with its operating point 'balanced'.

    The class that is watched on its own is the recipe's first critical one.
    """
    return JudgedSet(
        probabilities=judged.probabilities,
        labels=judged.labels,
        lesions=judged.groups,
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
