"""What a study is: frozen values, from the patient's context down to the single frame.

A study holds series, a series its frames in reading order, a frame belongs to one stored instance. No
pixel is read when a study is made: a :class:`Frame` asks its instance's :class:`FrameReader` when someone
looks at it, one frame at a time, so that a study of a thousand slices costs the memory of one.

A picture has two faces. *Displayed*, it is what a person sees: 8 bits, grey or sRGB, the window applied,
white bones. *Quantities* are the numbers behind it (Hounsfield units for CT), where there are any.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Modality(StrEnum):
    """Acquisition modality by its DICOM code (PS3.16 CID 29, PS3.3 C.7.3.1.1.1)."""

    CT = "CT"
    COMPUTED_RADIOGRAPHY = "CR"
    DIGITAL_RADIOGRAPHY = "DX"
    DERMOSCOPY = "DMS"
    PHOTOGRAPH = "XC"
    MR = "MR"
    MAMMOGRAPHY = "MG"
    ULTRASOUND = "US"
    PET = "PT"
    NUCLEAR_MEDICINE = "NM"
    ANGIOGRAPHY = "XA"
    FLUOROSCOPY = "RF"
    ENDOSCOPY = "ES"
    MICROSCOPY = "SM"
    OPHTHALMIC = "OP"
    OPTICAL_COHERENCE_TOMOGRAPHY = "OCT"
    SEGMENTATION = "SEG"
    SECONDARY_CAPTURE = "SC"
    OTHER = "OT"

    @classmethod
    def of(cls, code: str | None) -> "Modality":
        """Give the modality with this code, `OTHER` for one that is unknown or absent."""
        try:
            return cls((code or "").strip().upper())
        except ValueError:
            return cls.OTHER


class Sex(StrEnum):
    """Patient's sex by its DICOM code (PS3.3 C.7.1.1)."""

    FEMALE = "F"
    MALE = "M"
    OTHER = "O"


class Duration(StrEnum):
    """How long the patient has known what the study is about, in the steps in which people remember."""

    UNDER_1_MONTH = "under-1-month"
    FROM_1_TO_6_MONTHS = "1-to-6-months"
    FROM_6_TO_12_MONTHS = "6-to-12-months"
    FROM_1_TO_5_YEARS = "1-to-5-years"
    OVER_5_YEARS = "over-5-years"
    SINCE_BIRTH = "since-birth"


class Change(StrEnum):
    """What has become different of it lately: the signs that a change is asked for by (ABCDE's E)."""

    GREW = "grew"
    COLOUR = "colour"
    SHAPE = "shape"
    BLEEDING = "bleeding"
    ITCH = "itch"
    PAIN = "pain"
    ULCER = "ulcer"
    SHRANK = "shrank"
    NONE = "none"


class QuantityUnit(StrEnum):
    """What the numbers behind a picture mean (Rescale Type, PS3.3 C.11.1.1.2)."""

    HOUNSFIELD = "HU"
    UNSPECIFIED = "US"


@dataclass(frozen=True, slots=True)
class PatientContext:
    """What the sender says of the patient and the question; every field may be absent.

    `age_years` is in years, `skin_type` Fitzpatrick's I to VI as 1 to 6, `body_site` a short text in
    the sender's words or a set's own term. `duration` and `changes` are those of the lesion or complaint,
    `change_note` what the list of changes has no word for. `ignored` says for people what was sent and cannot
    be so.
    """

    age_years: float | None = None
    sex: Sex | None = None
    body_site: str | None = None
    skin_type: int | None = None
    clinical_question: str | None = None
    duration: Duration | None = None
    changes: tuple[Change, ...] = ()
    change_note: str | None = None
    ignored: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.age_years is not None and not 0 <= self.age_years <= 130:
            raise ValueError(f"age_years is {self.age_years}, expected 0 to 130")
        if self.skin_type is not None and not 1 <= self.skin_type <= 6:
            raise ValueError(f"skin_type is {self.skin_type}, expected Fitzpatrick 1 to 6")
        if Change.NONE in self.changes and len(self.changes) > 1:
            raise ValueError(f"changes are {', '.join(self.changes)}: none and others exclude each other")


@dataclass(frozen=True, slots=True)
class PatientIdentity:
    """Who it is: an identifier counts only together with its issuer (PS3.3 C.7.1.1)."""

    issuer: str
    identifier: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class StudyListing:
    """What a study is searched for by, in DICOM's own forms; empty where its files do not say it.

    `date` and `time` are as written (``20240213``, ``101530.25``), `timezone` is the offset from UTC
    (``+0800``) that they stand in.
    """

    date: str = ""
    time: str = ""
    timezone: str = ""
    study_id: str = ""
    referring_physician: str = ""
    birth_date: str = ""


class FrameReader(Protocol):
    """Reads the pixels of one stored instance, one frame at a time.

    A reader is a small picklable value: it crosses to scoring processes. It raises
    :class:`data.errors.ImageError` for a frame that cannot be read.
    """

    def displayed(self, index: int, *, at_least_px: int | None = None) -> NDArray[np.uint8]:
        """Give a frame as a person sees it.

        Parameters
        ----------
        index : int
            The frame, counted from 0 in stored order.
        at_least_px : int or None, px
            The reader may decode at a reduced scale as long as the shorter side keeps this many
            pixels; None asks for full resolution.

        Returns
        -------
        (rows, columns) or (rows, columns, 3) uint8
            Grey with high values bright, or sRGB.
        """

    def quantities(self, index: int) -> NDArray[np.float32]:
        """Give the modality values of a grey frame, (rows, columns) float32 in the instance's unit.

        Raises
        ------
        ValueError
            If the instance has no quantities (`unit` is None).
        """


@dataclass(frozen=True, slots=True)
class Instance:
    """One stored object: a photograph's file or a DICOM instance.

    `unit` is None for pictures without quantities behind them (photographs, colour). `rows` and
    `columns` are those of the picture as displayed, in pixels. `image_type` holds the terms of Image Type
    (``LOCALIZER`` for a scout, PS3.3 C.8.2.1.1.1), none where there is none.
    """

    path: Path
    sop_instance_uid: str
    sop_class_uid: str | None
    number: int | None
    n_frames: int
    rows: int
    columns: int
    is_colour: bool
    unit: QuantityUnit | None
    reader: FrameReader = field(repr=False, compare=False)
    image_type: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture of an instance.

    `index` counts from 0 in stored order; `position_mm` is its place along `normal`, a direction in the
    patient's coordinates (x to the left, y to the back, z to the head) that all frames of one orientation
    share. Both are None where there is no geometry.
    """

    instance: Instance
    index: int
    position_mm: float | None = None
    normal: tuple[float, float, float] | None = None

    @property
    def number(self) -> int:
        """The frame number as DICOM counts it, from 1 (PS3.3 C.7.6.6)."""
        return self.index + 1

    def displayed(self, *, at_least_px: int | None = None) -> NDArray[np.uint8]:
        """Read the frame as a person sees it; see :meth:`FrameReader.displayed`."""
        return self.instance.reader.displayed(self.index, at_least_px=at_least_px)

    def quantities(self) -> NDArray[np.float32]:
        """Read the numbers behind the frame; see :meth:`FrameReader.quantities`."""
        return self.instance.reader.quantities(self.index)


@dataclass(frozen=True, slots=True)
class Series:
    """Frames that belong together, in reading order: by geometry where there is one.

    `kernel` is CT's Convolution Kernel, in its maker's own terms.
    """

    uid: str
    modality: Modality
    frames: tuple[Frame, ...]
    number: int | None = None
    description: str = ""
    body_part: str = ""
    laterality: str = ""
    view: str = ""
    kernel: str = ""

    @property
    def instances(self) -> tuple[Instance, ...]:
        """Each instance once, in the order in which its first frame is read."""
        return tuple({frame.instance.sop_instance_uid: frame.instance for frame in self.frames}.values())


class AnnouncedOf(StrEnum):
    """Of what a file says how many it has."""

    STUDY = "study"
    SERIES = "series"
    ACQUISITION = "acquisition"
    SERIES_COUNT = "series-count"


@dataclass(frozen=True, slots=True)
class Announced:
    """How many images a file says that its study, series or acquisition has, or how many series there are.

    `part` is the series' UID, for an acquisition with its number behind a space, else empty.
    """

    of: AnnouncedOf
    part: str
    n: int


@dataclass(frozen=True, slots=True)
class Study:
    """One examination of one patient; `announced` is what its files say of how many they are."""

    uid: str
    series: tuple[Series, ...]
    patient: PatientIdentity | None = None
    context: PatientContext = PatientContext()
    accession: str = ""
    description: str = ""
    performed_at: datetime | None = None
    listing: StudyListing = StudyListing()
    announced: tuple[Announced, ...] = ()

    @property
    def frames(self) -> Iterator[Frame]:
        """Every frame of every series, in reading order."""
        return (frame for series in self.series for frame in series.frames)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Each file of the study once, in reading order."""
        return tuple(dict.fromkeys(instance.path for series in self.series for instance in series.instances))


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One image of a labelled set.

    Images of one `group` (a lesion, a patient) must never stand on both sides of a split. `study`
    names the images that were taken together (the slices of one CT), ordered by `position`. `split`
    is the set's own official split, where it has one, `fold` a fold that its table states. `findings` are
    the set's finer labels. `origin` says where the row stands (``labels.csv, line 7``), empty where no table
    lists it.
    """

    path: Path
    label: str
    group: str
    study: str = ""
    position: int = 0
    split: str | None = None
    findings: frozenset[str] = frozenset()
    context: PatientContext = PatientContext()
    fold: int | None = None
    origin: str = field(default="", compare=False)
