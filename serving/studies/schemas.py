"""A study as JSON."""

from datetime import datetime
from typing import Literal, Self

from pydantic import BaseModel, Field

from data.study import Change, Duration
from serving.store.scores import StoredKeyImage, StoredScore
from serving.store.studies import StoredInstance
from serving.store.times import from_us
from serving.store.uses import Consent
from serving.studies.arrival_schemas import Late, PriorStudy, StillArriving
from serving.studies.orders import OrderOfStudy
from serving.studies.quality import QualityFinding
from serving.studies.service import StudyView
from serving.worklist.language import Language
from serving.worklist.schemas import ImageLinks, Priority, State, TierName

Point = tuple[float, float]


class ClassProbability(BaseModel):
    """One class and its calibrated probability."""

    key: str
    name: str
    probability: float
    is_finding: bool


class OperatingPointUsed(BaseModel):
    """The threshold that was applied, and the findings that reach it."""

    name: str
    flagged: list[str]


class ModelUsed(BaseModel):
    """Which model made a result, and how it was run."""

    name: str
    version: str
    onnx_sha256: str
    preprocessing_sha256: str
    provider: str


class KeyImage(ImageLinks):
    """An image to look at first."""

    evidence: float | None = Field(description="Probability that this frame shows a finding.")
    contour: list[list[Point]] = Field(
        description="Polygons around what speaks for the finding; x and y from 0 to 1 of the frame."
    )


class ContextUsed(BaseModel):
    """What of the patient counted beside the picture."""

    used: dict[str, float | str] = Field(description="By field: age in years, sex, site.")
    ignored: list[str] = Field(description="What was sent and could not be taken, for people.")


class Score(BaseModel):
    """What a model said of a study."""

    id: int | None = Field(description="What a reader's signature names as the score that was shown.")
    scored_at: datetime
    model: ModelUsed
    operating_point: OperatingPointUsed
    probabilities: list[ClassProbability]
    novelty: float | None
    quality: float | None
    is_abstained: bool
    unread: list[str] = Field(description="Files whose pixels could not be read; scored without them.")
    context: ContextUsed | None = Field(description="None where the model looks at the picture alone.")


class Image(BaseModel):
    """One stored image."""

    sop_instance_uid: str
    series_uid: str
    modality: str
    frames: int
    rows: int
    columns: int
    file: str
    sha256: str
    first_frame: ImageLinks


class StudyDetail(BaseModel):
    """A study, its place in the queue, its result and its images."""

    purpose: Literal["for prioritisation only"] = "for prioritisation only"
    id: str
    url: str
    uid: str
    revision: int = Field(description="Grows with every image or fact that comes; a signature names it.")
    state: State
    reason: str | None = Field(description="The code of what went wrong, for an abstained or failed study.")
    problem: str | None
    tier: TierName
    due_at: datetime
    reason_line: str
    policy_version: str
    received_at: datetime
    performed_at: datetime | None
    priority: Priority
    modality: str
    accession: str
    description: str
    patient: str | None
    patient_name: str | None
    age: float | None
    sex: str | None
    body_site: str | None
    skin_type: int | None
    clinical_question: str | None
    duration: Duration | None = Field(description="How long the lesion or complaint is known.")
    change: list[Change] = Field(description="What has become different of it lately; empty: not said.")
    change_note: str | None
    consent: Consent | Literal["unknown"] = Field(
        description="What the study may be used for beyond care; unknown is not allowed."
    )
    quality: list[QualityFinding] = Field(description="What was amiss with its images when they came in.")
    orders: list[OrderOfStudy] = Field(description="Orders under its accession number.")
    arriving: StillArriving | None = Field(description="Null if all of its images have come.")
    expected_images: int | None = Field(description="How many were announced, by its files or its device.")
    late: Late | None = Field(description="Images that came after a result, or after the caller's claim.")
    score: Score | None
    key_images: list[KeyImage]
    images: list[Image]
    priors: list[PriorStudy] = Field(
        description="The patient's other studies that the caller may see, the last first, 100 at most."
    )

    @classmethod
    def of(cls, view: StudyView, *, language: Language) -> Self:
        """Put a stored study into words."""
        study, score = view.study, view.score
        place = study.placement
        performed_at = None if study.performed_at_us is None else from_us(study.performed_at_us)
        return cls.model_validate(
            {
                "id": study.key,
                "url": f"/api/v1/studies/{study.key}",
                "uid": study.uid,
                "revision": study.revision,
                "state": study.state,
                "reason": study.reason,
                "problem": study.problem,
                "tier": place.tier,
                "due_at": from_us(place.due_at_us),
                "reason_line": place.reason_zh if language is Language.CHINESE else place.reason_en,
                "policy_version": place.policy_version,
                "received_at": from_us(study.received_at_us),
                "performed_at": performed_at,
                "priority": study.priority,
                "modality": study.modality,
                "accession": study.accession,
                "description": study.description,
                "patient": study.patient,
                "patient_name": study.patient_name,
                "age": study.age_years,
                "sex": study.sex,
                "body_site": study.body_site,
                "skin_type": study.skin_type,
                "clinical_question": study.clinical_question,
                "duration": study.duration,
                "change": list(study.changes),
                "change_note": study.change_note,
                "consent": "unknown" if view.consent is None else view.consent.consent,
                "quality": [QualityFinding.of(finding) for finding in view.findings],
                "orders": [OrderOfStudy.of(one) for one in view.orders],
                "arriving": StillArriving.of(view.wait, view.expected),
                "expected_images": view.expected,
                "late": Late.of(view.late, is_in_score=study.state not in {"received", "scoring"}),
                "score": None if score is None else score_of(score, language=language),
                "priors": [PriorStudy.of(prior) for prior in view.priors],
                "key_images": [key_image_of(study.key, one) for one in (score.key_images if score else ())],
                "images": [image_of(study.key, one) for one in study.instances],
            }
        )


def score_of(score: StoredScore, *, language: Language) -> Score:
    """Put a score into words."""
    name = "name_zh" if language is Language.CHINESE else "name_en"
    return Score.model_validate(
        {
            "id": score.id,
            "scored_at": from_us(score.scored_at_us),
            "model": {
                "name": score.model_name,
                "version": score.model_version,
                "onnx_sha256": score.onnx_sha256,
                "preprocessing_sha256": score.preprocessing_sha256,
                "provider": score.provider,
            },
            "operating_point": score.operating_point,
            "probabilities": [line | {"name": line[name]} for line in score.probabilities],
            "novelty": score.novelty,
            "quality": score.quality,
            "is_abstained": score.is_abstained,
            "unread": score.unread,
            "context": score.operating_point.get("context"),
        }
    )


def key_image_of(study: str, image: StoredKeyImage) -> KeyImage:
    """Put a key image into words."""
    links = ImageLinks.of(study, image.sop_instance_uid, image.frame_number)
    return KeyImage.model_validate(
        links.model_dump() | {"evidence": image.evidence, "contour": image.contour}
    )


def image_of(study: str, image: StoredInstance) -> Image:
    """Put an image into words."""
    return Image(
        sop_instance_uid=image.sop_instance_uid,
        series_uid=image.series_uid,
        modality=image.modality,
        frames=image.n_frames,
        rows=image.rows,
        columns=image.columns,
        file=image.file_name,
        sha256=image.sha256,
        first_frame=ImageLinks.of(study, image.sop_instance_uid, 1),
    )
