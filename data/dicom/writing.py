"""Writes valid DICOM objects from arrays: a CT series, a radiograph, a photograph.

The same arguments give the same bytes: UIDs are made from the seed, times are those passed in. Objects
are explicit VR little endian, their text UTF-8 (ISO_IR 192).
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from pathlib import Path

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    VLPhotographicImageStorage,
)

from data.dicom.codecs import stream_info
from data.dicom.windows import VoiWindow
from data.study import Modality, Sex

# Supplement 221; pydicom's dictionary of UIDs does not name it yet.
DERMOSCOPIC_PHOTOGRAPHY_STORAGE = "1.2.840.10008.5.1.4.1.1.77.1.7"
IMPLEMENTATION_UID = "2.25.230857296187652183905772134890117455261"
BRAIN_WINDOW = VoiWindow(centre=40.0, width=80.0, explanation="BRAIN")
# Where a phantom has no history of its own.
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Encoding(StrEnum):
    """How pixels are stored."""

    NATIVE = "native"
    JPEG_LS = "jpeg-ls"
    RLE = "rle"


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """Who and what an object is about.

    `seed` makes the UIDs: objects of one `seed` belong to one study, of one `series` in it to one series.
    `label` says on every object what it is, as ``"SYNTHETIC PHANTOM, NOT A PATIENT"``.
    """

    seed: str
    label: str
    patient_id: str = ""
    patient_name: str = ""
    issuer: str = ""
    sex: Sex | None = None
    age_years: int | None = None
    accession: str = ""
    study_description: str = ""
    series: int = 1
    body_part: str = ""
    performed_at: datetime = EPOCH


def uid_of(*parts: str | int) -> str:
    """Make a UID from text: the UUID form of PS3.5 B.2, its number taken from a SHA-256.

    Examples
    --------
    >>> uid_of("phantom", 1) == uid_of("phantom", 1) != uid_of("phantom", 2)
    True
    """
    digest = sha256("\x00".join(str(part) for part in parts).encode()).digest()
    return uid_of_digest(digest)


def uid_of_digest(digest: bytes) -> str:
    """Make a UID of the first 16 bytes of a digest."""
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def rescale_of_window(window: VoiWindow) -> tuple[float, float]:
    """Give the slope and intercept that turn 8-bit pixels, windowed already, back into modality values.

    Examples
    --------
    >>> slope, intercept = rescale_of_window(VoiWindow(centre=40.0, width=80.0))
    >>> [round(value * slope + intercept, 6) for value in (0, 255)]
    [0.0, 80.0]
    """
    return window.width / 255.0, window.centre - window.width / 2


def write_ct_series(
    folder: Path,
    slices: NDArray[np.int16] | NDArray[np.uint8],
    *,
    info: ObjectInfo,
    spacing_mm: tuple[float, float],
    thickness_mm: float,
    rescale: tuple[float, float] = (1.0, 0.0),
    windows: tuple[VoiWindow, ...] = (BRAIN_WINDOW,),
    encoding: Encoding = Encoding.NATIVE,
) -> tuple[Path, ...]:
    """Write axial CT slices, one file each.

    Parameters
    ----------
    folder : Path
        Where they go; made if absent.
    slices : (n_slices, rows, columns) int16 or uint8
        Stored values, the lowest slice (feet) first.
    info : ObjectInfo
        Patient, study and label.
    spacing_mm : (row, column), mm
        Distance of the centres of neighbouring pixels.
    thickness_mm : float, mm
        Thickness of a slice and distance to the next.
    rescale : (slope, intercept)
        Turns stored values into Hounsfield units; see :func:`rescale_of_window` for 8-bit slices.
    windows : tuple of VoiWindow
        The windows to look through, the first by default.
    encoding : Encoding
        How the pixels are stored.

    Returns
    -------
    tuple of Path
        The files in the order of `slices`; their names say nothing of it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    _, rows, columns = slices.shape
    for index, pixels in enumerate(slices):
        dataset = _object(info, CTImageStorage, Modality.CT, instance=index + 1)
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        dataset.FrameOfReferenceUID = uid_of(info.seed, "frame of reference")
        dataset.PositionReferenceIndicator = ""
        dataset.PatientPosition = "HFS"
        dataset.ImageOrientationPatient = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
        left, front = -spacing_mm[1] * (columns - 1) / 2, -spacing_mm[0] * (rows - 1) / 2
        dataset.ImagePositionPatient = [_decimal(left), _decimal(front), _decimal(index * thickness_mm)]
        dataset.SliceLocation = _decimal(index * thickness_mm)
        dataset.PixelSpacing = [_decimal(side) for side in spacing_mm]
        dataset.SliceThickness = _decimal(thickness_mm)
        dataset.KVP = dataset.AcquisitionNumber = None
        dataset.RescaleSlope, dataset.RescaleIntercept = (_decimal(number) for number in rescale)
        dataset.RescaleType = "HU"
        _set_windows(dataset, windows)
        set_pixels(dataset, pixels, encoding)
        # Named by UID: whoever sorts by name gets them wrong at once, not one day.
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        _save(dataset, path)
        paths.append(path)
    return tuple(paths)


def write_radiograph(
    path: Path,
    picture: NDArray[np.uint8] | NDArray[np.uint16],
    *,
    info: ObjectInfo,
    modality: Modality = Modality.DIGITAL_RADIOGRAPHY,
    view: str = "PA",
    laterality: str = "",
    spacing_mm: tuple[float, float] = (0.2, 0.2),
    is_inverted: bool = False,
    instance: int = 1,
    encoding: Encoding = Encoding.NATIVE,
) -> Path:
    """Write a radiograph as DX or CR.

    Parameters
    ----------
    path : Path
        The file.
    picture : (rows, columns) uint8 or uint16
        Stored values; high is bright, unless `is_inverted` makes the object MONOCHROME1.
    info : ObjectInfo
        Patient, study and label.
    modality : Modality
        `DIGITAL_RADIOGRAPHY` or `COMPUTED_RADIOGRAPHY`.
    view, laterality : str
        View Position (PA, AP, LL) and Image Laterality (L, R, B, U).
    spacing_mm : (row, column), mm
        Imager Pixel Spacing.
    is_inverted : bool
        Whether low stored values are bright.
    instance : int
        Instance Number, and part of the UID.
    encoding : Encoding
        How the pixels are stored.
    """
    is_dx = modality is Modality.DIGITAL_RADIOGRAPHY
    sop_class = DigitalXRayImageStorageForPresentation if is_dx else ComputedRadiographyImageStorage
    dataset = _object(info, sop_class, modality, instance=instance)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.ViewPosition = view
    dataset.ImagerPixelSpacing = [_decimal(side) for side in spacing_mm]
    dataset.PatientOrientation = ["L", "F"]
    if is_dx:
        dataset.PresentationIntentType = "FOR PRESENTATION"
        dataset.ImageLaterality = laterality or "U"
        dataset.PixelIntensityRelationship = "LOG"
        dataset.PixelIntensityRelationshipSign = 1 if is_inverted else -1
        dataset.RescaleSlope, dataset.RescaleIntercept, dataset.RescaleType = "1", "0", "US"
        dataset.PresentationLUTShape = "INVERSE" if is_inverted else "IDENTITY"
        dataset.BurnedInAnnotation = "NO"
        dataset.LossyImageCompression = "00"
        dataset.DetectorType = dataset.DistanceSourceToDetector = None
    elif laterality:
        dataset.Laterality = laterality
    highest = 255 if picture.dtype == np.uint8 else max(1, int(picture.max()))
    _set_windows(dataset, (VoiWindow((highest + 1) / 2, highest + 1.0),))
    set_pixels(dataset, picture, encoding, photometric="MONOCHROME1" if is_inverted else "MONOCHROME2")
    _save(dataset, path)
    return path


def write_photograph(
    path: Path,
    picture: NDArray[np.uint8] | bytes,
    *,
    info: ObjectInfo,
    modality: Modality = Modality.DERMOSCOPY,
    laterality: str = "",
    instance: int = 1,
    encoding: Encoding = Encoding.NATIVE,
) -> Path:
    """Write a dermoscopic or clinical photograph.

    Parameters
    ----------
    path : Path
        The file.
    picture : (rows, columns, 3) uint8, or bytes
        sRGB pixels, or the stream of a baseline JPEG, which is stored as it is.
    info : ObjectInfo
        Patient, study and label.
    modality : Modality
        `DERMOSCOPY` (Dermoscopic Photography) or `PHOTOGRAPH` (VL Photographic).
    laterality : str
        Image Laterality (L, R, B, U).
    instance : int
        Instance Number, and part of the UID.
    encoding : Encoding
        How pixels are stored; a stream keeps its own.

    Raises
    ------
    ValueError
        If the stream is not a baseline JPEG of 8 bits.
    """
    is_dermoscopy = modality is Modality.DERMOSCOPY
    sop_class = DERMOSCOPIC_PHOTOGRAPHY_STORAGE if is_dermoscopy else VLPhotographicImageStorage
    dataset = _object(info, sop_class, modality, instance=instance)
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.PatientOrientation = None
    dataset.AcquisitionContextSequence = []
    dataset.AnatomicRegionSequence = []
    dataset.BurnedInAnnotation = "NO"
    dataset.ImageLaterality = laterality or "U"
    dataset.LossyImageCompression = "01" if isinstance(picture, bytes) else "00"
    if isinstance(picture, bytes):
        set_jpeg(dataset, picture)
    else:
        set_pixels(dataset, picture, encoding, photometric="RGB")
    _save(dataset, path)
    return path


def _object(info: ObjectInfo, sop_class: str, modality: Modality, *, instance: int) -> Dataset:
    """Make the modules that every image has: patient, study, series, equipment, image."""
    dataset = Dataset()
    date, time = info.performed_at.strftime("%Y%m%d"), info.performed_at.strftime("%H%M%S")
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = uid_of(info.seed, "instance", modality.value, info.series, instance)
    dataset.StudyInstanceUID = uid_of(info.seed, "study")
    dataset.SeriesInstanceUID = uid_of(info.seed, "series", modality.value, info.series)
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = date
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = dataset.AcquisitionTime = time
    if info.performed_at.tzinfo is not None:
        dataset.TimezoneOffsetFromUTC = info.performed_at.strftime("%z")
    dataset.AccessionNumber = info.accession
    dataset.Modality = modality.value
    dataset.Manufacturer = "firstread"
    dataset.ManufacturerModelName = "writing"
    dataset.DeviceSerialNumber = "0"
    dataset.SoftwareVersions = "1"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = info.study_description or info.label
    dataset.SeriesDescription = info.label[:64]
    dataset.ImageComments = info.label
    dataset.PatientName = info.patient_name
    dataset.PatientID = info.patient_id
    if info.issuer:
        dataset.IssuerOfPatientID = info.issuer
    dataset.PatientBirthDate = ""
    dataset.PatientSex = info.sex.value if info.sex else ""
    if info.age_years is not None:
        dataset.PatientAge = f"{info.age_years:03d}Y"
    dataset.BodyPartExamined = info.body_part
    dataset.StudyID = ""
    dataset.SeriesNumber = info.series
    dataset.InstanceNumber = instance
    return dataset


def _set_windows(dataset: Dataset, windows: tuple[VoiWindow, ...]) -> None:
    if not windows:
        return
    dataset.WindowCenter = [_decimal(window.centre) for window in windows]
    dataset.WindowWidth = [_decimal(window.width) for window in windows]
    dataset.VOILUTFunction = windows[0].function.value
    if any(window.explanation for window in windows):
        dataset.WindowCenterWidthExplanation = [window.explanation for window in windows]


def set_pixels(
    dataset: Dataset, pixels: NDArray[np.generic], encoding: Encoding, *, photometric: str = "MONOCHROME2"
) -> None:
    """Put pixels into an object, and say how they are laid out."""
    rows, columns = pixels.shape[:2]
    n_bits = pixels.dtype.itemsize * 8
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = photometric
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = rows, columns
    dataset.BitsAllocated = dataset.BitsStored = n_bits
    dataset.HighBit = n_bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    raw = np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = raw + b"\x00" * (len(raw) % 2)
    dataset["PixelData"].VR = "OW" if n_bits > 8 else "OB"
    set_file_meta(dataset, ExplicitVRLittleEndian)
    if encoding is Encoding.RLE:
        # Not a new object: the pixels are the same.
        dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
    elif encoding is Encoding.JPEG_LS:
        stream = imagecodecs.jpegls_encode(pixels.view(f"u{pixels.dtype.itemsize}"))
        _set_stream(dataset, bytes(stream), JPEGLSLossless)


def set_jpeg(dataset: Dataset, stream: bytes) -> None:
    """Put a baseline JPEG of 8 bits into an object as it is.

    Raises
    ------
    ValueError
        If the stream is anything else.
    """
    info = stream_info(stream)
    if info is None or info.codec != "jpeg" or info.precision != 8:
        raise ValueError("the stream is not a baseline JPEG of 8 bits")
    dataset.SamplesPerPixel = info.samples
    dataset.PhotometricInterpretation = "YBR_FULL_422" if info.samples == 3 else "MONOCHROME2"
    if info.samples == 3:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = info.rows, info.columns
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    n_raw = info.rows * info.columns * info.samples
    dataset.LossyImageCompressionRatio = _decimal(round(n_raw / max(1, len(stream)), 2))
    _set_stream(dataset, stream, JPEGBaseline8Bit)


def _set_stream(dataset: Dataset, stream: bytes, transfer_syntax: str) -> None:
    dataset.PixelData = encapsulate([stream])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    set_file_meta(dataset, transfer_syntax)


def set_file_meta(dataset: Dataset, transfer_syntax: str) -> None:
    """Give an object its file meta information."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(transfer_syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "FIRSTREAD"
    dataset.file_meta = meta


def _save(dataset: Dataset, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def _decimal(number: float) -> str:
    """Write a number as a decimal string of at most 16 characters (PS3.5 6.2)."""
    return f"{number:.10g}"
