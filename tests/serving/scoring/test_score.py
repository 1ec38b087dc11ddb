from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from data.errors import ImageError, Reason
from data.study import Frame, Instance, Modality, Series, Study
from models.appearance import Aspect, appearance
from models.artifact import write_artifact
from models.card import Colour, Pooling
from models.likeness import fit_likeness
from serving.scoring.quality import picture_quality
from serving.scoring.result import PURPOSE, Status, StudyScore
from serving.scoring.scorer import Scorer
from tests.tiny_model import tiny_card, tiny_graph, tiny_logits, tiny_novelty, write_tiny_artifact
from tests.tiny_study import ArrayReader, tiny_series, tiny_study


def picture(red: int = 0, green: int = 0, blue: int = 0, side: int = 32) -> NDArray[np.uint8]:
    return np.full((side, side, 3), (red, green, blue), np.uint8)


BENIGN, MALIGNANT, BLUE = picture(20, 20, 20), picture(250, 30, 30), picture(10, 10, 250)


class CutReader(ArrayReader):
    """A file whose frames after the first few are missing."""

    def displayed(self, index: int, *, at_least_px: int | None = None) -> NDArray[np.uint8]:
        if index >= len(self.pictures):
            raise ImageError("cut.dcm", Reason.TRUNCATED, "ends early", "send the file again")
        return super().displayed(index, at_least_px=at_least_px)


def ct_series(slices: list[Frame]) -> Series:
    return Series(uid="1.2.3", modality=Modality.CT, frames=tuple(slices))


def instance(name: str, reader: ArrayReader, n_frames: int = 1) -> Instance:
    return Instance(
        path=Path(name),
        sop_instance_uid=name,
        sop_class_uid=None,
        number=None,
        n_frames=n_frames,
        rows=32,
        columns=32,
        is_colour=True,
        unit=None,
        reader=reader,
    )


def stack(pictures: list[NDArray[np.uint8]], *, apart_mm: float = 5.0) -> Study:
    frames = [
        Frame(instance(f"slice-{index}", ArrayReader([one])), 0, position_mm=index * apart_mm)
        for index, one in enumerate(pictures)
    ]
    return Study(uid="1.2", series=(ct_series(frames),))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tiny_artifact(tmp_path, with_novelty=True)
    return tmp_path


def score(folder: Path, study: Study, model: str | None = None) -> StudyScore:
    return Scorer([folder]).score(study, model)


def test_a_photographs_probabilities_are_those_of_its_logits(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, temperature=2.0)

    result = score(tmp_path, tiny_study(tiny_series([MALIGNANT])))

    logits = tiny_logits(MALIGNANT[None])[0] / 2.0
    expected = np.exp(logits) / np.exp(logits).sum()
    assert result.status is Status.SCORED
    assert result.reason is None
    np.testing.assert_allclose(list(result.probabilities.values()), expected, atol=1e-5)
    assert list(result.probabilities) == ["benign", "malignant"]


def test_a_finding_is_flagged_from_the_default_operating_point_on(folder: Path) -> None:
    bad = score(folder, tiny_study(tiny_series([MALIGNANT]))).findings
    good = score(folder, tiny_study(tiny_series([BENIGN]))).findings

    assert [(finding.key, finding.is_flagged) for finding in bad] == [("malignant", True)]
    assert [(finding.key, finding.is_flagged) for finding in good] == [("malignant", False)]


def test_every_result_says_which_model_made_it_and_what_it_is_for(folder: Path) -> None:
    result = score(folder, tiny_study(tiny_series([MALIGNANT])))

    assert result.model is not None
    assert (result.model.name, result.model.version) == ("tiny", "1")
    assert len(result.model.sha256) == len(result.model.preprocessing_sha256) == 64
    assert result.model.provider == "CPUExecutionProvider"
    assert result.model.operating_point == "balanced"
    assert result.purpose == PURPOSE == "for prioritisation only"


def test_the_model_abstains_on_a_picture_of_another_kind_and_flags_nothing(folder: Path) -> None:
    result = score(folder, tiny_study(tiny_series([BLUE])))

    assert result.status is Status.ABSTAINED
    assert result.novelty is not None
    assert result.novelty > 1.0
    assert result.reason is not None
    assert result.reason.startswith("novel: ")
    assert not any(finding.is_flagged for finding in result.findings)


def test_the_reason_says_what_is_amiss_with_most_of_the_frames(tmp_path: Path) -> None:
    grain = np.random.default_rng(0).integers(0, 60, (40, 32, 32, 3), np.uint8)
    texture = appearance(grain)[Aspect.TEXTURE]
    look = fit_likeness(Aspect.TEXTURE, texture, texture, acceptance=1.0)
    known = replace(tiny_novelty(), threshold=1.0, limit=3.0, looks=(look,))
    card = tiny_card(modalities=[Modality.CT])
    write_artifact(tmp_path / "tiny" / "1", onnx=tiny_graph(), card=card, novelty=known)

    grainy = score(tmp_path, stack([grain[0], grain[1], BENIGN]))
    empty = score(tmp_path, stack([BENIGN, BENIGN, grain[0]]))

    assert grainy.status is Status.SCORED
    assert empty.status is Status.ABSTAINED
    assert empty.reason is not None
    assert empty.reason.startswith("novel: nothing is to be seen on it (no-structure); it is ")


def test_a_model_without_novelty_gives_none(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path)

    assert score(tmp_path, tiny_study(tiny_series([BLUE]))).novelty is None


@pytest.mark.parametrize("pooling", list(Pooling))
def test_frames_are_pooled_as_the_card_says(tmp_path: Path, pooling: Pooling) -> None:
    write_tiny_artifact(tmp_path, modalities=[Modality.CT], pooling=pooling)

    result = score(tmp_path, stack([BENIGN, MALIGNANT, BENIGN]))

    benign, malignant = (
        1.0 / (1.0 + np.exp(np.diff(tiny_logits(one[None])[0])))[0] for one in (BENIGN, MALIGNANT)
    )
    mean_logits = tiny_logits(np.stack([BENIGN, MALIGNANT, BENIGN])).mean(axis=0)
    odds = np.log((1.0 - np.array([benign, malignant, benign])) / np.array([benign, malignant, benign]))
    expected = {
        Pooling.MEAN_LOGITS: 1.0 / (1.0 + np.exp(np.diff(mean_logits))[0]),
        Pooling.WORST_FRAME: malignant,
        Pooling.NOISY_OR: benign * malignant * benign,
        Pooling.ATTENTION: 1.0 / (1.0 + np.exp(np.average(odds, weights=np.exp(odds)))),
    }
    assert result.probabilities["benign"] == pytest.approx(expected[pooling], abs=1e-5)


def test_key_images_are_the_worst_frames_and_no_neighbours(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, modalities=[Modality.CT])
    shades = [20, 30, 240, 250, 235, 30, 20, 20, 120, 20]

    result = score(tmp_path, stack([picture(shade, 30, 30) for shade in shades]))

    assert [image.path.name for image in result.key_images[:2]] == ["slice-3", "slice-8"]
    assert [image.frame for image in result.key_images] == [1, 1, 1]
    scores = [image.score for image in result.key_images]
    assert scores == sorted(scores, reverse=True)


def test_frames_of_one_file_are_counted_from_one(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, modalities=[Modality.ULTRASOUND])
    series = tiny_series([BENIGN] * 9 + [MALIGNANT], modality=Modality.ULTRASOUND)

    assert score(tmp_path, tiny_study(series)).key_images[0].frame == 10


def test_a_key_image_keeps_the_map_of_the_leading_finding(folder: Path) -> None:
    corner = picture(20, 20, 20)
    corner[:8, :8] = (250, 30, 30)

    (image,) = score(folder, tiny_study(tiny_series([corner]))).key_images

    assert image.evidence is not None
    assert image.evidence.shape == (4, 4)
    assert image.evidence.argmax() == 0  # the upper left cell


def test_views_of_a_radiograph_do_not_suppress_each_other(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, modalities=[Modality.DIGITAL_RADIOGRAPHY])
    views = [
        Frame(instance(name, ArrayReader([one])), 0)
        for name, one in (("pa", MALIGNANT), ("lat", MALIGNANT), ("x", BENIGN))
    ]
    study = Study(uid="1", series=(Series("1.1", Modality.DIGITAL_RADIOGRAPHY, tuple(views)),))

    assert [image.path.name for image in score(tmp_path, study).key_images] == ["pa", "lat", "x"]


def test_a_file_that_cannot_be_read_leaves_the_study_and_is_named(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, modalities=[Modality.CT])
    frames = [
        Frame(instance("whole", ArrayReader([MALIGNANT])), 0),
        Frame(instance("cut", CutReader([])), 0),
    ]

    result = score(tmp_path, Study(uid="1.2", series=(ct_series(frames),)))

    assert result.status is Status.SCORED
    assert result.paths == (Path("whole"),)
    assert [(unread.path, unread.error.reason) for unread in result.unread] == [
        (Path("cut"), Reason.TRUNCATED)
    ]


def test_a_file_of_which_some_frames_can_be_read_stays(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, modalities=[Modality.CT])
    cut = instance("cut", CutReader([MALIGNANT, BENIGN]), n_frames=4)

    result = score(tmp_path, Study(uid="1.2", series=(ct_series([Frame(cut, index) for index in range(4)]),)))

    assert result.status is Status.SCORED
    assert result.n_frames == 2
    assert result.paths == (Path("cut"),)
    assert not result.unread


def test_a_study_of_which_nothing_can_be_read_is_rejected(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, modalities=[Modality.CT])

    result = score(tmp_path, Study("1.2", (ct_series([Frame(instance("cut", CutReader([])), 0)]),)))

    assert result.status is Status.REJECTED
    assert result.reason is not None
    assert result.reason.startswith("truncated: cut.dcm ")


def test_a_modality_that_no_model_takes_is_rejected(folder: Path) -> None:
    result = score(folder, stack([BENIGN]))

    assert result.status is Status.REJECTED
    assert result.error is not None
    assert result.error.reason is Reason.NO_MODEL
    assert "CT" in result.error.problem
    assert result.model is None


def test_a_model_that_was_asked_for_is_still_not_given_what_it_does_not_take(folder: Path) -> None:
    write_tiny_artifact(folder, name="slices", modalities=[Modality.CT])

    assert score(folder, tiny_study(tiny_series([BENIGN])), "tiny").status is Status.SCORED
    assert score(folder, tiny_study(tiny_series([BENIGN])), "tiny@1").status is Status.SCORED
    for wrong in ("slices", "tiny@2", "nothing"):
        error = score(folder, tiny_study(tiny_series([BENIGN])), wrong).error
        assert error is not None
        assert error.reason is Reason.NO_MODEL


def test_a_broken_model_fails_its_studies_with_a_code(folder: Path) -> None:
    scorer = Scorer([folder])
    (folder / "tiny" / "1" / "model.onnx").write_bytes(b"no graph any more")

    error = scorer.score(tiny_study(tiny_series([BENIGN]))).error

    assert error is not None
    assert error.reason is Reason.MODEL_FAILED


def test_only_a_batch_of_frames_is_in_memory(tmp_path: Path) -> None:
    # 300 slices of 512 x 512 x 3 are 236 MB; what is held at any time is measured.
    import tracemalloc

    class BlankReader(ArrayReader):
        def displayed(self, index: int, *, at_least_px: int | None = None) -> NDArray[np.uint8]:
            side = max(512, at_least_px or 0)
            return np.full((side, side, 3), index % 256, np.uint8)

    write_tiny_artifact(tmp_path, modalities=[Modality.CT], colour=Colour.RGB)
    frames = [Frame(instance("ct", BlankReader([]), n_frames=300), index) for index in range(300)]
    scorer = Scorer([tmp_path])
    scorer.score(stack([BENIGN]))
    tracemalloc.start()

    result = scorer.score(Study("1.2", (ct_series(frames),)))

    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert result.n_frames == 300
    assert peak_bytes < 10_000_000


def test_quality_falls_with_blur_and_with_glare() -> None:
    rng = np.random.default_rng(7)
    sharp = rng.integers(60, 180, (64, 64, 3), dtype=np.uint8)
    blurred = sharp.astype(np.float64)
    for axis in (0, 1):
        blurred = np.mean([np.roll(blurred, step, axis) for step in range(-4, 5)], axis=0)
    burnt = sharp.copy()
    burnt[:32] = 255

    values = [picture_quality(one) for one in (sharp, blurred.astype(np.uint8), burnt)]

    assert values[0] > 0.9
    assert values[1] < values[0]
    assert values[2] < 0.6


def test_quality_is_measured_on_photographs_alone(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path, modalities=[Modality.CT, Modality.PHOTOGRAPH])

    assert score(tmp_path, tiny_study(tiny_series([BENIGN]))).quality == 0.0
    assert score(tmp_path, stack([BENIGN])).quality is None
