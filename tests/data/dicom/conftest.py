"""What the tests of DICOM share: a small object made of the elements that a test cares about."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

MakeDicom = Callable[..., Path]


@pytest.fixture
def make_dicom(tmp_path: Path) -> MakeDicom:
    """Give a function that writes pixels and elements to a file and returns its path."""

    def make(
        pixels: NDArray[Any] | list[bytes] | None = None,
        *,
        name: str = "object.dcm",
        syntax: str = ExplicitVRLittleEndian,
        raw: bytes | None = None,
        has_offsets: bool = True,
        fragments_per_frame: int = 1,
        **elements: object,
    ) -> Path:
        dataset = Dataset()
        dataset.SOPClassUID = SecondaryCaptureImageStorage
        dataset.SOPInstanceUID = "1.2.3.4"
        dataset.StudyInstanceUID = "1.2"
        dataset.SeriesInstanceUID = "1.2.3"
        dataset.Modality = "OT"
        if isinstance(pixels, np.ndarray):
            _describe(dataset, pixels)
            data = np.ascontiguousarray(pixels).tobytes()
            dataset.PixelData = data + b"\0" * (len(data) % 2)
            dataset["PixelData"].VR = "OW" if pixels.dtype.itemsize > 1 else "OB"
        elif pixels is not None:
            dataset.PixelData = encapsulate(
                pixels, fragments_per_frame=fragments_per_frame, has_bot=has_offsets
            )
            dataset["PixelData"].VR = "OB"
            dataset["PixelData"].is_undefined_length = True
        if raw is not None:
            dataset.PixelData = raw + b"\0" * (len(raw) % 2)
            dataset["PixelData"].VR = "OW"
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if UID(syntax).is_transfer_syntax:
            dataset.save_as(path, enforce_file_format=True)
        else:
            # Newer than pydicom's dictionary, or unknown to everyone: explicit little endian.
            dataset.preamble = bytes(128)
            dataset.save_as(path, force_encoding=True, implicit_vr=False, little_endian=True)
        return path

    return make


def _describe(dataset: Dataset, pixels: NDArray[Any]) -> None:
    n_bits = pixels.dtype.itemsize * 8
    is_colour = pixels.shape[-1] == 3 and pixels.ndim >= 3
    frame = pixels.shape[-3:-1] if is_colour else pixels.shape[-2:]
    dataset.Rows, dataset.Columns = frame
    if pixels.ndim == len(frame) + is_colour + 1:
        dataset.NumberOfFrames = pixels.shape[0]
    dataset.SamplesPerPixel = 3 if is_colour else 1
    if is_colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if is_colour else "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = n_bits
    dataset.HighBit = n_bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
