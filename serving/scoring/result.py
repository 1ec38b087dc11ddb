"""What scoring says of a study: frozen values that cross process borders and become the contract's JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from data.errors import ImageError
from data.study import Study
from models.context import ContextUse

PURPOSE = "for prioritisation only"


class Status(StrEnum):
    """What became of a study."""

    SCORED = "scored"
    ABSTAINED = "abstained"  # the model was not fitted on pictures of this kind
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model, and which way of using it, made a result.

    `sha256` is that of the ONNX file; `provider` is the one that ran, not the one asked for.
    """

    name: str
    version: str
    sha256: str
    preprocessing_sha256: str
    operating_point: str
    provider: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One class that is a finding, and whether the study reaches the operating point by it."""

    key: str
    probability: float
    is_flagged: bool


@dataclass(frozen=True, slots=True, eq=False)
class KeyImage:
    """A frame to look at first.

    Attributes
    ----------
    path : Path
        Its file.
    sop_instance_uid : str
    frame : int
        Counted from 1, as DICOM does (PS3.3 C.7.6.6).
    score : float
        Probability that the frame shows a finding.
    evidence : (rows, columns) float32 or None
        Class activation of the leading finding over the network's input; None where the model has no map.
    """

    path: Path
    sop_instance_uid: str
    frame: int
    score: float
    evidence: NDArray[np.float32] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Unread:
    """A file of a study whose pixels could not be read; the study was scored without it."""

    path: Path
    error: ImageError


@dataclass(frozen=True, slots=True, eq=False)
class StudyScore:
    """A study's result.

    `reason` is None for a scored study, else starts with a code. `probabilities` are calibrated and in the
    order of the model's classes. `novelty` above 1 made the model abstain. `quality` is in 0 to 1, None
    where it is not measured (:mod:`serving.scoring.quality`). `context` is what of the patient counted, None
    where the model looks at the picture alone. `is_taken_as_named_only`: the model is for other modalities,
    and scored it because a person named it. `was_interrupted`: its process died, which may be the study's
    doing or not.
    """

    study_uid: str
    paths: tuple[Path, ...]
    status: Status
    elapsed_ms: float
    reason: str | None = None
    error: ImageError | None = None
    model: ModelIdentity | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    key_images: tuple[KeyImage, ...] = ()
    novelty: float | None = None
    quality: float | None = None
    n_frames: int = 0
    unread: tuple[Unread, ...] = ()
    context: ContextUse | None = None
    is_taken_as_named_only: bool = False
    was_interrupted: bool = False
    purpose: str = PURPOSE


def rejected_score(
    study: Study, error: ImageError, *, elapsed_ms: float, model: ModelIdentity | None = None
) -> StudyScore:
    """Give the result of a study that could not be scored."""
    return StudyScore(
        study_uid=study.uid,
        paths=study.paths,
        status=Status.REJECTED,
        elapsed_ms=elapsed_ms,
        reason=str(error),
        error=error,
        model=model,
    )
