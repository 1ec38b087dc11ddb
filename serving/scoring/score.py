"""Scores one study with one model: frames in, calibrated probabilities and key images out.

Frames are read, prepared and run a batch at a time; what stays of a frame is its logits, its distance from
training and its small maps, so a CT of 2,000 slices takes little more memory than a photograph.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from data.errors import ImageError
from data.study import Frame, Series, Study
from models import novelty as novelties
from models.artifact import Artifact
from models.card import ModelCard, OperatingPoint
from models.context import ContextUse, context_use, fuse, known_context, log_ratios
from models.evidence import key_frames
from models.likeness import Unlike
from models.pooling import frame_evidence, study_probabilities
from models.preprocess import preprocessing_sha256
from models.scaling import Scaling
from models.suitability import is_taken_as_named_only, series_taken
from serving.scoring.gathering import Runs
from serving.scoring.preparation import prepared_batches
from serving.scoring.result import Finding, KeyImage, ModelIdentity, Status, StudyScore, Unread

N_KEY_IMAGES = 3


@dataclass(frozen=True, slots=True, eq=False)
class RawScore:
    """What the network says of a study, before calibration.

    Attributes
    ----------
    frame_logits : (n_frames, n_classes) float32
    novelty : float or None
        Above 1 the model abstains.
    unread : tuple of Unread
        Files without which it was made.
    frames : tuple of Frame
        Which frames the logits are of.
    places_mm : (n_frames,) float64, mm
        Where they lie: see :func:`serving.scoring.preparation.placed_frames`.
    """

    frame_logits: NDArray[np.float32]
    novelty: float | None
    unread: tuple[Unread, ...]
    frames: tuple[Frame, ...]
    places_mm: NDArray[np.float64]


def run_study(study: Study, session: Runs) -> RawScore:
    """Run the model on a study just as :func:`score_study` does, which goes on from here.

    Raises
    ------
    ImageError
        If no frame can be read.
    models.errors.OutputError
        If the model fails.
    """
    seen = _read_and_run(series_taken(study, session.artifact.card.applies_to), session)
    return RawScore(
        np.concatenate(seen.logits),
        _novelty(seen),
        _lost_instances(seen),
        tuple(seen.frames),
        np.array(seen.places_mm),
    )


def score_study(study: Study, session: Runs, model: ModelIdentity) -> StudyScore:
    """Score what the session's model takes of a study; `model` is its :func:`identity`.

    Files whose pixels cannot be read are listed in `unread`, and the study is scored without them.

    Raises
    ------
    ImageError
        If no frame can be read.
    models.errors.OutputError
        If the model fails.
    """
    started = perf_counter()
    artifact = session.artifact
    card = artifact.card
    seen = _read_and_run(series_taken(study, card.applies_to), session)
    logits = np.concatenate(seen.logits)
    is_finding = np.array([spec.is_finding for spec in card.classes])
    pooled = study_probabilities(
        logits,
        pooling=card.pooling,
        scaling=Scaling.of(card.calibration),
        is_finding=is_finding,
        parameters=card.pooling_parameters,
    )
    pooled, context = _with_context(pooled, study, card)
    novelty = _novelty(seen)
    is_novel = novelty is not None and novelty > 1.0
    lost = _lost_instances(seen)
    lost_paths = {unread.path for unread in lost}
    return StudyScore(
        study_uid=study.uid,
        paths=tuple(path for path in study.paths if path not in lost_paths),
        status=Status.ABSTAINED if is_novel else Status.SCORED,
        elapsed_ms=(perf_counter() - started) * 1000,
        reason=_novel_reason(artifact, novelty, _cause(seen)) if novelty is not None and is_novel else None,
        model=model,
        probabilities=dict(zip(card.class_keys, pooled.tolist(), strict=True)),
        findings=_findings(card, pooled, may_flag=not is_novel),
        key_images=_key_images(seen, logits, pooled, card, is_finding),
        novelty=novelty,
        quality=min(seen.quality) if seen.quality else None,
        n_frames=len(seen.frames),
        unread=lost,
        context=context,
        is_taken_as_named_only=is_taken_as_named_only(study, card.applies_to),
    )


def identity(session: Runs) -> ModelIdentity:
    """Say which model, in which use, a session runs."""
    card = session.artifact.card
    return ModelIdentity(
        name=card.name,
        version=card.version,
        sha256=session.sha256,
        preprocessing_sha256=preprocessing_sha256(card.input),
        operating_point=card.default_operating_point,
        provider=session.providers[0],
    )


@dataclass
class _Seen:
    """What stays of the frames that were run; lists are parallel to `frames` or hold one array a batch."""

    frames: list[Frame] = field(default_factory=list)
    places_mm: list[float] = field(default_factory=list)
    logits: list[NDArray[np.float32]] = field(default_factory=list)
    maps: list[NDArray[np.float32]] = field(default_factory=list)
    novelty: list[NDArray[np.float64]] = field(default_factory=list)
    causes: list[Unlike] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)
    failed: list[Frame] = field(default_factory=list)
    errors: list[ImageError] = field(default_factory=list)


def _read_and_run(taken: Sequence[Series], session: Runs) -> _Seen:
    seen = _Seen()
    for batch in prepared_batches(taken, session.artifact.card.input):
        inputs: list[NDArray[np.uint8]] = []
        for prepared in batch:
            if isinstance(prepared.content, ImageError):
                seen.failed.append(prepared.frame)
                seen.errors.append(prepared.content)
                continue
            inputs.append(prepared.content)
            seen.frames.append(prepared.frame)
            seen.places_mm.append(prepared.place_mm)
            if prepared.quality is not None:
                seen.quality.append(prepared.quality)
        if inputs:
            _run(inputs, session, seen)
    if not seen.frames:
        raise seen.errors[0]
    return seen


def _novelty(seen: _Seen) -> float | None:
    return float(np.median(np.concatenate(seen.novelty))) if seen.novelty else None


def _cause(seen: _Seen) -> Unlike:
    """Give what is amiss with most of the frames that are as new as the study, or newer."""
    scores = np.concatenate(seen.novelty)
    causes = [seen.causes[index] for index in np.flatnonzero(scores >= np.median(scores))]
    return max(causes, key=causes.count)


def _run(inputs: Sequence[NDArray[np.uint8]], session: Runs, seen: _Seen) -> None:
    batch = np.stack(inputs)
    outputs = session.run(batch)
    seen.logits.append(outputs.logits)
    seen.maps.extend(outputs.maps)
    novelty = session.artifact.novelty
    if novelty is not None:
        judged = novelties.judge(outputs.features, batch, novelty)
        seen.novelty.append(judged.scores)
        seen.causes.extend(judged.causes)


def _with_context(
    pooled: NDArray[np.float64], study: Study, card: ModelCard
) -> tuple[NDArray[np.float64], ContextUse | None]:
    """Let what is known of the patient count, where the model takes it into account."""
    if card.context is None or not card.context.terms:
        return pooled, None
    known = known_context(study.context)
    ratios = log_ratios(known, card.context, len(card.classes))
    return fuse(pooled, ratios), context_use(known, card.context)


def _findings(card: ModelCard, pooled: NDArray[np.float64], *, may_flag: bool) -> tuple[Finding, ...]:
    probability_of = dict(zip(card.class_keys, pooled.tolist(), strict=True))
    flagged: set[str] = set()
    for point in card.operating_points:
        if may_flag and point.name == card.default_operating_point:
            flagged.update(flagged_classes(point, probability_of))
    return tuple(
        Finding(key=spec.key, probability=probability_of[spec.key], is_flagged=spec.key in flagged)
        for spec in card.classes
        if spec.is_finding
    )


def flagged_classes(point: OperatingPoint, probability_of: Mapping[str, float]) -> set[str]:
    """Name the classes by which a study reaches an operating point: none if it does not.

    The threshold stands for the sum of the point's classes, so one of them with next to no part in the
    sum is not flagged: only the likeliest is, and any other that reaches the threshold by itself.
    """
    if sum(probability_of[key] for key in point.classes) < point.threshold:
        return set()
    likeliest = max(point.classes, key=lambda key: probability_of[key])
    return {likeliest} | {key for key in point.classes if probability_of[key] >= point.threshold}


def _key_images(
    seen: _Seen,
    logits: NDArray[np.float32],
    pooled: NDArray[np.float64],
    card: ModelCard,
    is_finding: NDArray[np.bool_],
) -> tuple[KeyImage, ...]:
    evidence = frame_evidence(Scaling.of(card.calibration).probabilities(logits), is_finding)
    leading = int(np.where(is_finding, pooled, -1.0).argmax())
    chosen = key_frames(evidence, seen.places_mm, n=N_KEY_IMAGES)
    return tuple(
        KeyImage(
            path=seen.frames[index].instance.path,
            sop_instance_uid=seen.frames[index].instance.sop_instance_uid,
            frame=seen.frames[index].number,
            score=float(evidence[index]),
            evidence=np.ascontiguousarray(seen.maps[index][..., leading]),
        )
        for index in chosen
    )


def _lost_instances(seen: _Seen) -> tuple[Unread, ...]:
    read = {frame.instance.path for frame in seen.frames}
    lost = {
        frame.instance.path: error
        for frame, error in zip(reversed(seen.failed), reversed(seen.errors), strict=True)
        if frame.instance.path not in read
    }
    return tuple(Unread(path, error) for path, error in reversed(lost.items()))


def _novel_reason(artifact: Artifact, novelty: float, cause: Unlike) -> str:
    return (
        f"novel: {cause.words} ({cause}); it is {novelty:.2f} times as far from what {artifact.label} was "
        f"fitted on as is accepted; read it without a score"
    )
