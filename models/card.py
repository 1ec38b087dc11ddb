"""A model's card: everything that must be known about it before it may score a study.

The card travels beside ``model.onnx`` as ``card.json`` and is bound to it by its SHA-256. It is the one
place where a class, its code, its operating points and the way an image becomes the network's input are
written down; a model whose card lacks calibration, operating points or an input specification is refused
(:mod:`models.artifact`).
"""

from datetime import datetime
from enum import StrEnum
from operator import not_
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from data.study import Modality

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9]*(-[a-z0-9]+)*$")]
ClassKey = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
ContextField = Literal["age", "sex", "site"]


class Severity(StrEnum):
    """How bad it is to read a study of this class late."""

    CRITICAL = "critical"
    URGENT = "urgent"
    ROUTINE = "routine"
    LOW = "low"


class Resize(StrEnum):
    """How a frame of any shape becomes the network's rectangle."""

    CENTRE_CROP = "centre-crop"  # the shorter side fills the rectangle, the middle is kept
    SQUASH = "squash"  # both sides are scaled, the aspect ratio is not kept
    PAD = "pad"  # the longer side fills the rectangle, the rest is black


class Colour(StrEnum):
    """What the network's channels are."""

    RGB = "rgb"  # sRGB
    GREY = "grey"  # the displayed grey, repeated on three channels
    WINDOWS = "windows"  # one channel a window of the quantities (CT)
    NEIGHBOURS = "neighbours"  # the slice before, the slice, the slice after, one grey channel each


class Precision(StrEnum):
    """The numbers a network computes with."""

    FLOAT = "float"
    INT8 = "int8"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Code(_Part):
    """A coded concept: SNOMED CT is scheme ``SCT``."""

    scheme: Literal["SCT", "DCM", "ICD-10", "ICD-11"] = "SCT"
    value: str
    meaning: str


class Interval(_Part):
    """A figure with its 95 % interval and the number of samples it rests on."""

    value: float
    low: float
    high: float
    n: int = Field(ge=0)

    @model_validator(mode="after")
    def _holds_its_value(self) -> Self:
        if not self.low - 1e-9 <= self.value <= self.high + 1e-9:
            raise ValueError(f"value {self.value} lies outside its interval [{self.low}, {self.high}]")
        return self


class ClassSpec(_Part):
    """One class the network knows, in the order of its logits."""

    key: ClassKey
    name_en: str
    name_zh: str
    code: Code
    severity: Severity
    is_finding: bool = Field(description="False for the class that says 'nothing found'.")


class Window(_Part):
    """A linear window on modality values: centre and width in the values' unit."""

    centre: float
    width: float = Field(gt=0)


class InputRules(_Part):
    """Which studies the model is for.

    `when_named` are modalities whose studies it takes only where a person names the model, and only from
    studies that hold nothing else for it: a radiograph that was sent as a plain picture does not say that it
    is one.
    """

    modalities: tuple[Modality, ...] = Field(min_length=1)
    when_named: tuple[Modality, ...] = Field(default=(), exclude_if=not_)
    body_parts: tuple[str, ...] = Field(
        default=(), description="DICOM Body Part Examined codes; empty: not checked."
    )
    min_side_px: int = Field(default=32, ge=1, description="A smaller picture is not scored.")
    max_frames: int = Field(default=4096, ge=1)


class InputSpec(_Part):
    """How a frame becomes the network's input: ``(batch, height, width, 3)`` uint8.

    Normalisation stands in the graph, and so does the mean that `flips` asks for. `crop` is the part of
    each kept side that stays, around the middle (1.0: all of it). Neighbours are shown in the one window
    that is given, where the slices have Hounsfield units; `neighbour_mm` is how far apart they lay in
    training: of thinner slices those about as far away are taken. None takes the next slice.
    """

    height: int = Field(ge=16)
    width: int = Field(ge=16)
    colour: Colour
    resize: Resize
    crop: float = Field(default=1.0, gt=0.0, le=1.0)
    windows: tuple[Window, ...] = ()
    neighbour_mm: float | None = Field(default=None, gt=0.0)
    flips: bool = Field(default=False, description="Mean over the frame and its mirror image.")

    @model_validator(mode="after")
    def _windows_where_they_belong(self) -> Self:
        allowed = {Colour.WINDOWS: {3}, Colour.NEIGHBOURS: {0, 1}}.get(self.colour, {0})
        if len(self.windows) not in allowed:
            raise ValueError(
                "colour 'windows' needs three windows, 'neighbours' takes one or none, others take none"
            )
        if self.neighbour_mm is not None and self.colour is not Colour.NEIGHBOURS:
            raise ValueError("neighbour_mm belongs to colour 'neighbours'")
        return self

    @model_serializer(mode="wrap")
    def _without_what_is_not_used(self, dump: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Leave `neighbour_mm` out while it says nothing: the hashes of older specs stay what they were."""
        fields: dict[str, object] = dump(self)
        if self.neighbour_mm is None:
            fields.pop("neighbour_mm", None)
        return fields


class Pooling(StrEnum):
    """How the frames of a study become one score."""

    MEAN_LOGITS = "mean-logits"
    WORST_FRAME = "worst-frame"  # the frame with the highest evidence for a finding
    NOISY_OR = "noisy-or"
    ATTENTION = "attention"  # a mean that looks harder at the frames with more evidence


class PoolingParameters(_Part):
    """The numbers of attention pooling (:mod:`models.pooling`), fitted on the labels of studies.

    `sharpness` 0 is the mean over the frames, a large one the worst frame. The study's log-odds of a
    finding are ``scale`` times the pooled ones plus ``bias``.
    """

    sharpness: float = Field(default=1.0, ge=0.0)
    scale: float = Field(default=1.0, gt=0.0)
    bias: float = 0.0
    fitted_on: str = ""
    n: int = Field(default=0, ge=0, description="Studies it was fitted on; 0: not fitted.")


class Calibration(_Part):
    """Probabilities are ``softmax(logits / temperature + offsets)``; see :mod:`models.scaling`.

    `offsets` are one a class, in nats; none, as in older cards: the temperature alone. `shares` are the parts
    of the classes among what it was fitted on, empty where the card does not tell: beside those of another
    population they say how probabilities would have to change for it.
    """

    method: Literal["temperature", "bias-corrected temperature"] = "temperature"
    temperature: float = Field(gt=0)
    offsets: tuple[float, ...] = Field(default=(), exclude_if=not_)
    shares: tuple[Probability, ...] = Field(default=(), exclude_if=not_)
    fitted_on: str
    n: int = Field(gt=0)
    ece_before: Probability
    ece_after: Probability

    @model_validator(mode="after")
    def _has_the_offsets_of_its_method(self) -> Self:
        if bool(self.offsets) != (self.method == "bias-corrected temperature"):
            raise ValueError(f"method {self.method!r} does not go with {len(self.offsets)} offsets")
        return self


class OperatingPoint(_Part):
    """A threshold on one class, or on the sum of several, and what it gives.

    `wanted_sensitivity` or `wanted_specificity` is what the threshold was chosen for; both are None where
    their sum was made largest, or where the card does not tell.
    """

    name: Literal["rule-out", "balanced", "rule-in"]
    classes: tuple[ClassKey, ...] = Field(min_length=1)
    threshold: Probability
    sensitivity: Interval
    specificity: Interval
    chosen_on: str
    wanted_sensitivity: Probability | None = None
    wanted_specificity: Probability | None = None


class Novelty(_Part):
    """Distance from the pictures of training; the numbers are in ``novelty.npz``.

    It is that of the feature vector alone, or the worse of it and that of the picture's looks. The score is
    the distance divided by `threshold`: above 1.0 the model abstains.
    """

    method: Literal["mahalanobis", "mahalanobis-and-looks"] = "mahalanobis"
    threshold: float = Field(gt=0)
    acceptance: Probability
    file_sha256: Sha256


class TrainingData(_Part):
    """A set the model was fitted or measured on."""

    source: str
    licence: str
    role: Literal["train", "validation", "test"]
    split: str
    split_sha256: Sha256
    n_images: int = Field(ge=0)
    n_groups: int = Field(ge=0)


class Metric(_Part):
    """One measured figure; `version` says with which version of the model, where it was not this one."""

    name: str
    split: str
    figure: Interval
    group: str = "all"
    version: str | None = None


class ContextTerm(_Part):
    """What one field of the patient's context says for and against the classes.

    `levels` are ages in years (between them: the straight line), the codes of the sexes, or keys of
    :class:`data.body_sites.BodySite`. `log_ratios` holds for each level a number for each class, in nats.
    """

    field: ContextField
    levels: tuple[str, ...] = Field(min_length=1)
    log_ratios: tuple[tuple[float, ...], ...]

    @model_validator(mode="after")
    def _one_row_a_level(self) -> Self:
        if len(self.log_ratios) != len(self.levels) or len({len(row) for row in self.log_ratios}) != 1:
            raise ValueError(f"{self.field} needs a row for each of its {len(self.levels)} levels")
        if self.field == "age" and (ages := [float(level) for level in self.levels]) != sorted(set(ages)):
            raise ValueError("ages must rise")
        return self


class ContextPoint(_Part):
    """What an operating point gives where the context is known; its threshold is the card's."""

    name: Literal["rule-out", "balanced", "rule-in"]
    sensitivity: Interval
    specificity: Interval


class PatientFactors(_Part):
    """How a patient's age, sex and body site change the probabilities of the picture alone.

    `left_out` are fields that were tried and did not pay. Without `terms` none did, and the picture counts
    alone. `metrics` holds each figure with the context, and its difference from that without.
    """

    terms: tuple[ContextTerm, ...] = ()
    left_out: tuple[ContextField, ...] = ()
    ridge: float = Field(gt=0)
    fitted_on: str
    n: int = Field(gt=0)
    metrics: tuple[Metric, ...] = ()
    operating_points: tuple[ContextPoint, ...] = ()


class Origin(_Part):
    """The version, as its maker gave it out, that a recalibrated one was made from."""

    version: str
    card_sha256: Sha256
    calibration: Calibration
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)


class VariantFigures(_Part):
    """What one variant of the network gives on held-out pictures, and the time it takes.

    Sensitivity and specificity are those of the operating point in use. `novelty_acceptance` is the part of
    the pictures that are not called new; None where the model has no novelty. `frame_ms` is the median for
    one picture on one thread.
    """

    macro_auc: Probability
    auc_positive: Probability
    sensitivity: Probability
    specificity: Probability
    novelty_acceptance: Probability | None = None
    frame_ms: float = Field(gt=0)
    n_bytes: int = Field(gt=0)


class Variants(_Part):
    """The network in floating point and in 8-bit integers, measured side by side when it was exported.

    The 8-bit file is bound by `int8_sha256`, which is None where it was refused and does not stand in the
    folder; `refusals` says why. `map_correlation` is the median over the pictures of the correlation of the
    two variants' maps for the likeliest class.
    """

    float32: VariantFigures
    int8: VariantFigures
    int8_sha256: Sha256 | None = None
    refusals: tuple[str, ...] = ()
    on_cpu: Precision = Precision.FLOAT
    map_correlation: float | None = Field(default=None, ge=-1.0, le=1.0)
    measured_on: str
    timed_on: str

    @model_validator(mode="after")
    def _uses_what_was_accepted(self) -> Self:
        if bool(self.refusals) == (self.int8_sha256 is not None):
            raise ValueError("an int8 variant is either bound by its SHA-256 or refused with reasons")
        if self.on_cpu is Precision.INT8 and self.int8_sha256 is None:
            raise ValueError("there is no int8 variant that could be used on a CPU")
        return self


class ModelCard(_Part):
    """The card itself; see the module's text."""

    schema_version: Literal[1] = 1
    name: Slug
    version: str = Field(pattern=r"^[0-9]+(\.[0-9]+)*$")
    title_en: str
    title_zh: str
    task: Slug
    created: datetime
    licence: str
    applies_to: InputRules
    classes: tuple[ClassSpec, ...] = Field(min_length=2)
    input: InputSpec
    pooling: Pooling = Pooling.MEAN_LOGITS
    pooling_parameters: PoolingParameters = PoolingParameters()
    calibration: Calibration
    operating_points: tuple[OperatingPoint, ...] = Field(min_length=1)
    default_operating_point: Literal["rule-out", "balanced", "rule-in"] = "balanced"
    novelty: Novelty | None = None
    context: PatientFactors | None = None
    training_data: tuple[TrainingData, ...] = Field(min_length=1)
    metrics: tuple[Metric, ...] = Field(min_length=1)
    intended_use: str
    limits: tuple[str, ...] = Field(min_length=1)
    recipe_sha256: Sha256
    onnx_sha256: Sha256
    recalibrated_from: Origin | None = None
    variants: Variants | None = Field(
        default=None, description="None: floating point alone, as it always was."
    )

    @property
    def class_keys(self) -> tuple[str, ...]:
        """The classes' keys in the order of the logits."""
        return tuple(spec.key for spec in self.classes)

    @model_validator(mode="after")
    def _names_its_own_classes(self) -> Self:
        keys = self.class_keys
        if len(set(keys)) != len(keys):
            raise ValueError(f"class keys repeat: {keys}")
        for point in self.operating_points:
            unknown = set(point.classes) - set(keys)
            if unknown:
                raise ValueError(f"operating point {point.name} names unknown classes {sorted(unknown)}")
        if self.default_operating_point not in {point.name for point in self.operating_points}:
            raise ValueError(f"there is no operating point {self.default_operating_point!r}")
        maker = self.recalibrated_from
        for calibration in (self.calibration, *([maker.calibration] if maker else [])):
            if not {len(calibration.offsets), len(calibration.shares)} <= {0, len(keys)}:
                raise ValueError(f"calibration needs an offset and a share for each of {len(keys)} classes")
        for term in self.context.terms if self.context else ():
            if len(term.log_ratios[0]) != len(keys):
                raise ValueError(f"context {term.field} has {len(term.log_ratios[0])} numbers a level")
        return self
