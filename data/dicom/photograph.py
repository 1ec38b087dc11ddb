"""Gives a stored photograph as a DICOM object, the same bytes each time.

The object is made when it is asked for: what is stored is the original, once, and an object made of it and
of what is known of its study cannot fall behind either. A baseline JPEG that lies upright is encapsulated
as it is, byte for byte; what DICOM cannot hold (other formats, a picture that EXIF turns) is decoded to
upright sRGB and stored as pixels.

References
----------
PS3.3 A.32.4 (VL Photographic Image), Supplement 221 (Dermoscopic Photography), PS3.3 C.11.15 (ICC profile).
"""

import io
import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import MultiFrameTrueColorSecondaryCaptureImageStorage, VLPhotographicImageStorage

from data import jpeg
from data.containers import HEAD_BYTES, Format, find_format
from data.dicom.codecs import CodecError, stream_info
from data.dicom.writing import (
    DERMOSCOPIC_PHOTOGRAPHY_STORAGE,
    Encoding,
    set_jpeg,
    set_pixels,
)
from data.exif import read_orientation
from data.photo import decode_photo
from data.study import Modality, PatientContext, PatientIdentity

_BASELINE = b"\xff\xc0"
_LOSSY = frozenset({Format.JPEG, Format.WEBP, Format.HEIC})
_METHOD = {Format.JPEG: "ISO_10918_1"}
_MARKER = re.compile(rb"\xff([\xc0-\xc3\xc5-\xc7\xc9-\xcb\xcd-\xcf])")


@dataclass(frozen=True, slots=True)
class PhotographFacts:
    """What is known of a photograph besides its file.

    Parameters
    ----------
    study_uid, series_uid, sop_instance_uid : str
        Under which it is kept.
    modality : Modality
        `DERMOSCOPY` makes it Dermoscopic Photography, anything else VL Photographic.
    received_at : datetime
        When it came in; a photograph does not say when it was taken, and its EXIF block is not read.
    number : int
        Instance Number.
    n_frames : int
        Pages of its file.
    patient : PatientIdentity or None
    context : PatientContext
    accession, description : str
    """

    study_uid: str
    series_uid: str
    sop_instance_uid: str
    modality: Modality
    received_at: datetime
    number: int = 1
    n_frames: int = 1
    patient: PatientIdentity | None = None
    context: PatientContext = field(default_factory=PatientContext)
    accession: str = ""
    description: str = ""


def sop_class_of(facts: PhotographFacts) -> str:
    """Give the SOP class of a photograph; several pages are a secondary capture, as the others have one."""
    if facts.n_frames > 1:
        return str(MultiFrameTrueColorSecondaryCaptureImageStorage)
    is_dermoscopy = facts.modality is Modality.DERMOSCOPY
    return DERMOSCOPIC_PHOTOGRAPHY_STORAGE if is_dermoscopy else str(VLPhotographicImageStorage)


def photograph_object(path: Path, facts: PhotographFacts) -> bytes:
    """Make the DICOM file (PS3.10) of a photograph.

    Raises
    ------
    ImageError
        If the photograph cannot be read.
    """
    data = path.read_bytes()
    coding = find_format(data[:HEAD_BYTES])
    dataset = _described(facts)
    dataset.LossyImageCompression = "01" if coding in _LOSSY else "00"
    if coding is Format.JPEG and facts.n_frames == 1 and _can_be_encapsulated(data, path.name):
        header = jpeg.read_header(data, path.name)
        set_jpeg(dataset, data + bytes(len(data) % 2))
        dataset.LossyImageCompressionRatio = f"{_raw_bytes(dataset) / len(data):.2f}"
        if header.icc_profile and header.n_components == 3:
            dataset.ICCProfile = header.icc_profile + bytes(len(header.icc_profile) % 2)
        elif header.n_components == 3:
            dataset.ICCProfile = _srgb_profile()
    else:
        pages = [decode_photo(path, page=page) for page in range(facts.n_frames)]
        set_pixels(dataset, _stacked(pages), Encoding.NATIVE, photometric="RGB")
        dataset["PixelData"].VR = "OB"
        if facts.n_frames > 1:
            _number_frames(dataset, pages)
        if dataset.LossyImageCompression == "01":
            dataset.LossyImageCompressionMethod = _METHOD.get(coding, "") if coding else ""
            dataset.LossyImageCompressionRatio = f"{_raw_bytes(dataset) / len(data):.2f}"
        dataset.ICCProfile = _srgb_profile()
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _can_be_encapsulated(data: bytes, name: str) -> bool:
    """Whether DICOM has a transfer syntax for a JPEG as it is: baseline, 8 bits, grey or YCbCr, upright."""
    header = jpeg.read_header(data, name)
    try:
        info = stream_info(data)
    except CodecError:
        return False
    frame = _start_of_frame(data)
    is_plain = info is not None and info.codec == "jpeg" and info.precision == 8 and frame == _BASELINE
    has_colours = info is not None and (info.samples == 1 or (info.samples == 3 and info.is_ycc is not False))
    return is_plain and has_colours and read_orientation(header.exif) == 1


def _start_of_frame(data: bytes) -> bytes:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        if _MARKER.match(data, position):
            return data[position : position + 2]
        if data[position + 1] == 0xFF:  # a fill byte
            position += 1
            continue
        position += 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return b""


def _raw_bytes(dataset: Dataset) -> int:
    return int(dataset.Rows) * int(dataset.Columns) * int(dataset.SamplesPerPixel)


def _stacked(pages: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Give one page as it is, several as frames of one size: the smaller ones at the upper left on black."""
    if len(pages) == 1:
        return pages[0]
    rows = max(page.shape[0] for page in pages)
    columns = max(page.shape[1] for page in pages)
    frames = np.zeros((len(pages) * rows, columns, 3), np.uint8)
    for index, page in enumerate(pages):
        frames[index * rows : index * rows + page.shape[0], : page.shape[1]] = page
    return frames


def _number_frames(dataset: Dataset, pages: list[NDArray[np.uint8]]) -> None:
    dataset.NumberOfFrames = len(pages)
    dataset.Rows = max(page.shape[0] for page in pages)
    dataset.PageNumberVector = list(range(1, len(pages) + 1))
    dataset.FrameIncrementPointer = 0x00182001  # Page Number Vector


def _described(facts: PhotographFacts) -> Dataset:
    """Make the modules around the pixels: patient, study, series, equipment, image."""
    dataset = Dataset()
    date, time = facts.received_at.strftime("%Y%m%d"), facts.received_at.strftime("%H%M%S.%f")
    patient, context = facts.patient, facts.context
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SOPClassUID = sop_class_of(facts)
    dataset.SOPInstanceUID = facts.sop_instance_uid
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = date
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = time
    dataset.AcquisitionDateTime = date + time
    dataset.TimezoneOffsetFromUTC = "+0000"
    dataset.AccessionNumber = facts.accession[:16]
    dataset.Modality = facts.modality.value
    dataset.Manufacturer = ""
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = facts.description[:64]
    dataset.PatientName = patient.name if patient else ""
    dataset.PatientID = patient.identifier if patient else ""
    if patient and patient.issuer:
        dataset.IssuerOfPatientID = patient.issuer
    dataset.PatientBirthDate = ""
    dataset.PatientSex = context.sex.value if context.sex else ""
    if context.age_years is not None:
        dataset.PatientAge = _age(context.age_years)
    dataset.StudyInstanceUID = facts.study_uid
    dataset.SeriesInstanceUID = facts.series_uid
    dataset.StudyID = ""
    dataset.SeriesNumber = 1
    dataset.InstanceNumber = facts.number
    dataset.PatientOrientation = None
    dataset.ImageComments = f"Body site as sent: {context.body_site}" if context.body_site else ""
    dataset.BurnedInAnnotation = "NO"
    if facts.n_frames > 1:
        dataset.ConversionType = "DI"
    else:
        dataset.AcquisitionContextSequence = []
        dataset.ImageLaterality = "U"
        dataset.AnatomicRegionSequence = []
    return dataset


def _age(years: float) -> str:
    """Write an age as PS3.5 6.2 has it: in years, of small children in months.

    Examples
    --------
    >>> _age(47.0), _age(0.5)
    ('047Y', '006M')
    """
    return f"{int(years):03d}Y" if years >= 2 else f"{int(years * 12):03d}M"


def _srgb_profile() -> bytes:
    """Give a profile of sRGB without the time at which it was made, so that it is the same each time."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # ICC.1 7.2.8: date and time
    profile[84:100] = bytes(16)  # 7.2.18: an identifier that would cover them
    return bytes(profile + bytes(len(profile) % 2))
