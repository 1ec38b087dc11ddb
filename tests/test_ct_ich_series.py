"""CT-ICH packed as a scanner would have sent it gives the network what its pictures give."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from data.dicom.grouping import read_studies
from data.photo import read_photo
from data.sources.ct_ich import read_images
from data.study import LabelledImage, QuantityUnit
from models.card import Colour, InputRules, InputSpec, Resize, Window
from models.preprocess import SeriesInputs, apply_window
from models.suitability import series_taken
from tests.ct_ich_series import hounsfield_of, write_patient

WIDE = Window(centre=40.0, width=120.0)
SPEC = InputSpec(height=192, width=192, colour=Colour.NEIGHBOURS, resize=Resize.PAD, windows=(WIDE,))


def test_every_grey_comes_back_within_a_step() -> None:
    grey = np.arange(256, dtype=np.uint8)

    shown = apply_window(hounsfield_of(grey).astype(np.float32), WIDE)

    assert int(np.abs(shown.astype(int) - grey).max()) <= 1
    assert (shown[0], shown[255]) == (0, 255)


@pytest.mark.datasets
def test_the_dicom_way_gives_what_the_pictures_give_within_a_grey_step(
    datasets: Path, tmp_path: Path
) -> None:
    images: dict[str, list[LabelledImage]] = defaultdict(list)
    for image in read_images(datasets / "ct_ich_256"):
        images[image.group].append(image)
    patient = images["071"]  # slices 7 and 11 are missing
    written = write_patient(tmp_path, patient)

    (study,), rejected = read_studies(written)
    rules = InputRules.model_validate({"modalities": ["CT"], "body_parts": ["HEAD"]})
    (series,) = series_taken(study, rules)
    by_dicom = SeriesInputs(series.frames, SPEC)
    by_picture = SeriesInputs([next(read_photo(image.path).frames) for image in patient], SPEC)

    assert not rejected
    assert [written[frame.instance.path] for frame in series.frames] == patient
    assert {frame.instance.unit for frame in series.frames} == {QuantityUnit.HOUNSFIELD}
    for index in range(len(patient)):
        difference = by_dicom[index].astype(int) - by_picture[index]
        assert int(np.abs(difference).max()) <= 1
