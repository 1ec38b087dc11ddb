"""Packs CT-ICH's pictures into CT series with Hounsfield units, as a scanner would have sent them.

The published pictures are the brain window, centre 40 and width 120 HU, in 256 steps: grey 0 is -20 HU or
less, 255 is 100 HU or more. Back in whole Hounsfield units, 2.1 grey steps apart, and shown in that window
again, no pixel is more than one step off.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.dicom.windows import VoiWindow
from data.dicom.writing import ObjectInfo, rescale_of_window, write_ct_series
from data.study import LabelledImage

PUBLISHED_WINDOW = VoiWindow(centre=40.0, width=120.0, explanation="BRAIN")
THICKNESS_MM = 5.0
FIELD_OF_VIEW_MM = 230.0

# Scanners store Hounsfield units shifted by this, so that air is not negative.
INTERCEPT = -1024


def hounsfield_of(grey: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Give a picture's Hounsfield units, (rows, columns) int16; what the window clipped stays clipped.

    Examples
    --------
    >>> hounsfield_of(np.array([[0, 128, 255]], np.uint8)).tolist()
    [[-20, 40, 100]]
    """
    slope, intercept = rescale_of_window(PUBLISHED_WINDOW)
    hounsfield: NDArray[np.int16] = np.rint(grey * slope + intercept).astype(np.int16)
    return hounsfield


def write_patient(folder: Path, images: Sequence[LabelledImage]) -> Mapping[Path, LabelledImage]:
    """Write a patient's slices as one CT series; give the file of each.

    A slice that the set lacks leaves its gap: slices lie where their numbers say.

    Parameters
    ----------
    folder : Path
        Where the files go.
    images : sequence of LabelledImage
        Of one patient, from :func:`data.sources.ct_ich.read_images`.
    """
    image_of = {image.position: image for image in images}
    first, last = min(image_of), max(image_of)
    pictures = {place: np.asarray(Image.open(image.path).convert("L")) for place, image in image_of.items()}
    rows, columns = pictures[first].shape
    stored = np.zeros((last - first + 1, rows, columns), np.int16)
    for place, picture in pictures.items():
        stored[place - first] = hounsfield_of(picture) - INTERCEPT
    patient = images[0].group
    paths = write_ct_series(
        folder,
        stored,
        info=ObjectInfo(
            seed=f"CT-ICH {patient}", label="CT-ICH, repacked", patient_id=patient, body_part="HEAD"
        ),
        spacing_mm=(FIELD_OF_VIEW_MM / rows, FIELD_OF_VIEW_MM / columns),
        thickness_mm=THICKNESS_MM,
        rescale=(1.0, float(INTERCEPT)),
        windows=(PUBLISHED_WINDOW,),
    )
    written = {}
    for place, path in enumerate(paths, start=first):
        if place in image_of:
            written[path] = image_of[place]
        else:
            path.unlink()
    return written
