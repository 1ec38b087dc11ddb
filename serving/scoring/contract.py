"""A study's outcome: its result, what follows from it for the queue, and the JSON object programs get."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from data.errors import ImageError, Reason
from models.card import ModelCard
from models.registry import Registry
from serving.scoring.result import Status, StudyScore
from serving.worklist.policy import DoctorPriority, Policy, Tier
from serving.worklist.ranking import allowance_minutes, leading_class
from serving.worklist.reasons import LeadingClass, NoScore, reason_line


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is told of a study, or of files that are in none.

    Attributes
    ----------
    score : StudyScore
    allowance_minutes : float, min
        How long it may wait: by its probabilities, or the policy's time of a study without a score.
    tier : Tier
    line : str
        Why it stands where it stands, for people.
    names : mapping of Path to str
        Files as the sender knows them; one that is not in it keeps its path.
    copies : tuple of str
        Further files with the very bytes of one of the study's.
    """

    score: StudyScore
    allowance_minutes: float
    tier: Tier
    line: str
    names: Mapping[Path, str] = field(default_factory=dict)
    copies: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """All its files as the sender knows them."""
        return [*(self.name_of(path) for path in self.score.paths), *self.copies]

    @property
    def reason(self) -> str | None:
        """Why there is no score, beginning with the code; None for a scored study."""
        error = self.score.error
        if error is None:
            return self.score.reason
        return str(ImageError(self.name_of(Path(error.source)), error.reason, error.problem, error.remedy))

    def name_of(self, path: Path) -> str:
        """Give a file's name as the sender knows it."""
        return self.names.get(path, str(path))


def outcomes_of(
    score: StudyScore,
    registry: Registry,
    policy: Policy,
    *,
    names: Mapping[Path, str],
    copies: tuple[str, ...] = (),
) -> Iterator[Outcome]:
    """Give a study's outcome, and one for each of its files that could not be read."""
    card = None
    if score.model is not None and score.status is Status.SCORED:
        card = registry.get(score.model.name, score.model.version).card
    minutes, cause = _placed(score, card, policy)
    line = reason_line(
        cause,
        allowance_minutes=minutes,
        doctor=DoctorPriority.ROUTINE,
        doctor_minutes=policy.doctor_minutes[DoctorPriority.ROUTINE],
    )
    yield Outcome(replace(score, unread=()), minutes, policy.tier(minutes), line.en, names, copies)
    for unread in score.unread:
        rejected = StudyScore(score.study_uid, (unread.path,), Status.REJECTED, 0.0, error=unread.error)
        yield from outcomes_of(rejected, registry, policy, names=names)


def as_object(outcome: Outcome) -> dict[str, object]:
    """Give the outcome's fields as programs are promised them."""
    score = outcome.score
    model = score.model
    return {
        "study": score.study_uid,
        "paths": outcome.paths,
        "status": str(score.status),
        "reason": outcome.reason,
        "model": None
        if model is None
        else {"name": model.name, "version": model.version, "sha256": model.sha256}
        | ({"taken_as_named_only": True} if score.is_taken_as_named_only else {}),
        "probabilities": dict(score.probabilities),
        "findings": [
            {"class": finding.key, "p": finding.probability, "flagged": finding.is_flagged}
            for finding in score.findings
        ],
        "allowance_minutes": outcome.allowance_minutes,
        "key_images": [
            {
                "path": outcome.name_of(image.path),
                "sop_instance_uid": image.sop_instance_uid,
                "frame": image.frame,
                "score": image.score,
            }
            for image in score.key_images
        ],
        # JSON has no infinity, which is the distance of features that are no numbers.
        "novelty": score.novelty if score.novelty is not None and math.isfinite(score.novelty) else None,
        "quality": score.quality,
        "context": None if score.context is None else score.context.as_object(),
        "elapsed_ms": round(score.elapsed_ms, 3),
    }


def _placed(
    score: StudyScore, card: ModelCard | None, policy: Policy
) -> tuple[float, LeadingClass | NoScore]:
    if card is None:
        if score.status is Status.ABSTAINED:
            return policy.unscored_minutes, NoScore.NOVEL
        is_unhandled = score.error is not None and score.error.reason is Reason.NO_MODEL
        return policy.unscored_minutes, NoScore.NO_MODEL if is_unhandled else NoScore.FAILED
    probabilities = np.array([[score.probabilities[key] for key in card.class_keys]])
    class_minutes = policy.class_minutes(card.name, card.classes)
    leading = int(leading_class(probabilities, class_minutes)[0])
    spec = card.classes[leading]
    cause = LeadingClass(spec.name_en, spec.name_zh, float(probabilities[0, leading]))
    return float(allowance_minutes(probabilities, class_minutes)[0]), cause
