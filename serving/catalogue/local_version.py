"""Makes a new version of a model, calibrated on a table of labelled local images."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from data.errors import ImageError, ManifestError
from models.aims import PointName, aims_of
from models.artifact import CARD, Artifact, write_artifact
from models.card import ModelCard, Precision
from models.errors import RecalibrationError
from models.novelty import NoveltyModel
from models.recalibration import Recalibration, ScoredStudies, recalibrate
from models.runtime import Session
from serving.catalogue.labelled import (
    LabelledStudy,
    Unusable,
    find_labelled,
    read_listed,
    run_labelled,
)
from serving.catalogue.local_card import LocalData, local_card
from serving.scoring.score import RawScore

# Of the intervals' draws; the folds are dealt from the groups' names.
SEED = 7


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asks for.

    Attributes
    ----------
    table : Path
        The labelled images.
    group_column, encoding : str
        How the table is read.
    sensitivity, specificity : float or None
        Of "rule-out" and "rule-in"; None keeps what the card says.
    in_use : str or None
        The operating point that flags; None keeps the card's.
    novelty_acceptance : float or None
        Part of the local studies that is not to be called novel; None keeps the limit.
    skips_unusable : bool
        Whether to go on without the images that cannot be scored.
    """

    table: Path
    group_column: str = "group"
    encoding: str = "utf-8"
    sensitivity: float | None = None
    specificity: float | None = None
    in_use: PointName | None = None
    novelty_acceptance: float | None = None
    skips_unusable: bool = False


@dataclass(frozen=True, slots=True)
class Fitted:
    """A local version that was not written yet; `n_novel` studies were left out, for the model abstains."""

    artifact: Artifact
    result: Recalibration
    local: LocalData
    novelty: NoveltyModel | None
    in_use: PointName
    n_novel: int
    unusable: tuple[Unusable, ...]


@dataclass(frozen=True, slots=True)
class _Run:
    study: LabelledStudy
    raw: RawScore


def fit_local(
    artifact: Artifact,
    wish: Wish,
    *,
    scratch: Path,
    jobs: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> Fitted:
    """Score the table's studies and fit calibration and operating points on them.

    Parameters
    ----------
    artifact : Artifact
        The version to start from.
    wish : Wish
        What is asked for.
    scratch : Path
        An existing, empty folder.
    jobs : int
        Studies that are run at a time.
    on_progress : callable or None
        Takes the number of studies that were run, and of all.

    Raises
    ------
    ManifestError
        If the table is wrong; names the line.
    RecalibrationError
        If images cannot be scored or the studies are too few.
    """
    card = artifact.card
    aims = aims_of(card, sensitivity=wish.sensitivity, specificity=wish.specificity)
    in_use = wish.in_use or card.default_operating_point
    if in_use not in {aim.name for aim in aims}:
        raise RecalibrationError(f"{artifact.label} has no operating point {in_use!r} that could be used")
    table_sha256 = _sha256(wish.table)
    listed = read_listed(wish.table, card, group_column=wish.group_column, encoding=wish.encoding)
    studies, unusable = find_labelled(wish.table, listed, card, scratch=scratch)
    _check_usable(wish, unusable, len(listed))

    session = Session(artifact, threads=1)
    runs: list[_Run] = []
    for n_done, (study, raw) in enumerate(run_labelled(studies, session, jobs=jobs), start=1):
        if on_progress is not None:
            on_progress(n_done, len(studies))
        if isinstance(raw, ImageError):
            unusable.append(Unusable(study.study.paths[0], study.line, str(raw)))
        else:
            unusable += [Unusable(unread.path, study.line, str(unread.error)) for unread in raw.unread]
            runs.append(_Run(study, raw))
    _check_usable(wish, unusable, len(listed))

    novelty = _novelty(artifact, runs, wish.novelty_acceptance)
    limit = (
        1.0 if novelty is None or artifact.novelty is None else novelty.threshold / artifact.novelty.threshold
    )
    taken = [one for one in runs if one.raw.novelty is None or one.raw.novelty <= limit]
    if not taken:
        raise RecalibrationError(
            f"the model abstains on all {len(runs)} studies: it was not fitted on images of this kind"
        )
    scored = ScoredStudies(
        tuple(one.raw.frame_logits for one in taken),
        np.array([card.class_keys.index(one.study.label) for one in taken], np.int64),
        np.array([one.study.group for one in taken]),
    )
    n_novel = len(runs) - len(taken)
    try:
        result = recalibrate(card, scored, aims, seed=SEED)
    except RecalibrationError as error:
        if not n_novel:
            raise
        note = f"{n_novel} of {len(runs)} were left out, for the model abstains on them as novel"
        raise RecalibrationError(f"{error} ({note})") from error
    local = LocalData(
        table=wish.table.name,
        table_sha256=table_sha256,
        names=[one.study.study.uid for one in taken],
        n_images=sum(len(one.study.study.paths) for one in taken),
        n_groups=len(np.unique(scored.groups)),
    )
    return Fitted(artifact, result, local, novelty, in_use, n_novel, tuple(unusable))


def new_card(fitted: Fitted, *, version: str, created: datetime) -> ModelCard:
    """Give the new version's card."""
    card_sha256 = _sha256(fitted.artifact.folder / CARD)
    return local_card(
        fitted.artifact.card,
        card_sha256,
        fitted.result,
        fitted.local,
        version=version,
        created=created,
        in_use=fitted.in_use,
    )


def write_local(fitted: Fitted, card: ModelCard, folder: Path) -> Artifact:
    """Write the new version, the network's very bytes with the new card, complete or not at all.

    Raises
    ------
    ArtifactError
        If the network has changed meanwhile, or the folder exists or cannot be written.
    """
    networks = {
        precision: fitted.artifact.read_variant(precision) for precision in fitted.artifact.precisions
    }
    return write_artifact(
        folder,
        onnx=networks[Precision.FLOAT],
        int8=networks.get(Precision.INT8),
        card=card,
        novelty=fitted.novelty,
    )


def _novelty(artifact: Artifact, runs: Sequence[_Run], acceptance: float | None) -> NoveltyModel | None:
    known = artifact.novelty
    if known is None or acceptance is None:
        return known
    scores = [one.raw.novelty for one in runs if one.raw.novelty is not None]
    limit = float(np.quantile(np.array(scores), acceptance, method="higher"))
    return replace(known, threshold=known.threshold * limit, acceptance=acceptance)


def _check_usable(wish: Wish, unusable: Sequence[Unusable], n_listed: int) -> None:
    if not unusable or (wish.skips_unusable and len(unusable) < n_listed):
        return
    lines = [f"{wish.table}, line {one.line}: {one.problem}" for one in unusable]
    problem = f"{len(unusable)} of {n_listed} images cannot be scored; mend them, or add --skip-unusable:"
    raise RecalibrationError("\n".join([problem, *lines]))


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ManifestError(path, f"cannot be read: {error.strerror}") from error
