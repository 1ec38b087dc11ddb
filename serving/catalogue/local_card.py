"""The card of a model that was calibrated anew on local studies."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from data.folds import split_sha256
from models.aims import PointName
from models.card import (
    Calibration,
    Metric,
    ModelCard,
    OperatingPoint,
    Origin,
    PatientFactors,
    TrainingData,
)
from models.recalibration import N_FOLDS, Recalibration


@dataclass(frozen=True, slots=True)
class LocalData:
    """What a model was recalibrated on.

    `names` are those of the studies, in the order of the recalibration's folds; `table` is the table's name
    without its folder, which may tell of patients.
    """

    table: str
    table_sha256: str
    names: Sequence[str]
    n_images: int
    n_groups: int


def local_card(
    card: ModelCard,
    card_sha256: str,
    result: Recalibration,
    local: LocalData,
    *,
    version: str,
    created: datetime,
    in_use: PointName,
) -> ModelCard:
    """Write the card of the new version: the maker's, with local calibration, points and figures.

    Parameters
    ----------
    card : ModelCard
        That was recalibrated; of one that is itself a recalibrated version, the maker's part is kept and
        the local part replaced.
    card_sha256 : str
        Of its file.
    result : Recalibration
    local : LocalData
    version : str
        The new one.
    created : datetime
        Now.
    in_use : str
        The operating point at which a study is flagged.
    """
    maker = card.recalibrated_from or Origin(
        version=card.version,
        card_sha256=card_sha256,
        calibration=card.calibration,
        operating_points=card.operating_points,
    )
    n_studies = len(local.names)
    where = (
        f"{local.table} (SHA-256 {local.table_sha256}): {n_studies} studies of {local.n_groups} groups, "
        f"errors out of fold ({N_FOLDS} folds of groups)"
    )
    kept = f"as version {card.version}, which no other beat; errors on " if result.keeps_scaling else ""
    fields = card.model_dump(mode="json") | {
        "version": version,
        "created": created,
        "calibration": Calibration(
            method="bias-corrected temperature" if result.scaling.offsets else "temperature",
            temperature=result.scaling.temperature,
            offsets=result.scaling.offsets,
            shares=result.shares,
            fitted_on=kept + where,
            n=n_studies,
            ece_before=result.before.calibration_error.value,
            ece_after=result.after.calibration_error.value,
        ),
        "operating_points": _points(result, f"{local.table}, {n_studies} studies; figures out of fold"),
        "default_operating_point": in_use,
        "context": _context(card),
        "training_data": [
            *(part for part in card.training_data if not _is_local(part, card)),
            TrainingData(
                source=local.table,
                licence="local images, not given on",
                role="validation",
                split=f"all, in {N_FOLDS} folds of groups",
                split_sha256=split_sha256(local.names, result.folds),
                n_images=local.n_images,
                n_groups=local.n_groups,
            ),
        ],
        "metrics": [*_with_split(result.after.metrics, local.table), *_makers(card, maker)],
        "limits": _limits(card, maker),
        "recalibrated_from": maker,
    }
    return ModelCard.model_validate(fields)


def _context(card: ModelCard) -> PatientFactors | None:
    """Keep the maker's factors without what they give at the maker's thresholds."""
    return None if card.context is None else card.context.model_copy(update={"operating_points": ()})


def _points(result: Recalibration, where: str) -> list[OperatingPoint]:
    points = []
    for aim in result.aims:
        figures = result.after.points[aim.name]
        points.append(
            OperatingPoint(
                name=aim.name,
                classes=aim.classes,
                threshold=figures.threshold,
                sensitivity=figures.sensitivity,
                specificity=figures.specificity,
                chosen_on=where,
                wanted_sensitivity=aim.sensitivity,
                wanted_specificity=aim.specificity,
            )
        )
    return points


def _with_split(metrics: Sequence[Metric], table: str) -> list[Metric]:
    return [metric.model_copy(update={"split": f"all of {table}"}) for metric in metrics]


def _makers(card: ModelCard, maker: Origin) -> list[Metric]:
    if card.recalibrated_from is not None:
        return [metric for metric in card.metrics if metric.version is not None]
    return [metric.model_copy(update={"version": metric.version or maker.version}) for metric in card.metrics]


def _is_local(part: TrainingData, card: ModelCard) -> bool:
    """Whether an earlier recalibration added this; it was always put last."""
    return card.recalibrated_from is not None and part is card.training_data[-1]


def _limits(card: ModelCard, maker: Origin) -> list[str]:
    text = (
        f"Calibrated on local studies; figures and limits that name version {maker.version} are its maker's."
    )
    return [*(limit for limit in card.limits if limit != text), text]
