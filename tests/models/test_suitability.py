"""Of a CT study a model gets the axial slices, one reconstruction of each stretch, of its own body part."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.dicom.grouping import read_studies
from data.dicom.writing import ObjectInfo, write_ct_series
from data.study import Frame, Instance, Modality, QuantityUnit, Series, Study
from models.body_part import WORDS, part_of
from models.card import InputRules
from models.suitability import is_taken_as_named_only, series_taken, why_not
from tests.tiny_study import ArrayReader

AXIAL, TILTED, CORONAL = (0.0, 0.0, 1.0), (0.0, -0.42, 0.91), (0.0, 1.0, 0.0)
HEAD = InputRules(modalities=(Modality.CT,), body_parts=("HEAD", "BRAIN"))


def ct(
    uid: str,
    places_mm: Sequence[float | None] = tuple(range(0, 150, 5)),
    *,
    normal: tuple[float, float, float] | None = AXIAL,
    kind: tuple[str, ...] = ("ORIGINAL", "PRIMARY", "AXIAL"),
    unit: QuantityUnit | None = QuantityUnit.HOUNSFIELD,
    body_part: str = "HEAD",
    description: str = "",
    kernel: str = "",
) -> Series:
    one = Instance(Path(uid), uid, None, 1, 1, 512, 512, False, unit, ArrayReader([]), kind)
    frames = tuple(
        Frame(replace(one, sop_instance_uid=f"{uid}.{index}"), 0, place, None if place is None else normal)
        for index, place in enumerate(places_mm)
    )
    return Series(uid, Modality.CT, frames, description=description, body_part=body_part, kernel=kernel)


def taken(*series: Series, description: str = "", rules: InputRules = HEAD) -> list[str]:
    return [one.uid for one in series_taken(Study("1", series, description=description), rules)]


def test_scouts_reformats_and_captured_screens_are_no_slices() -> None:
    scout = ct("scout", [0.0, 1.0], normal=CORONAL, kind=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    flat_scout = ct("flat scout", [0.0], kind=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    coronal = ct("coronal", normal=CORONAL, kind=("DERIVED", "SECONDARY", "REFORMATTED"))
    doses = ct("doses", [None], unit=QuantityUnit.UNSPECIFIED)
    rendering = ct("rendering", [None] * 20, unit=None)
    planning = ct("planning", [70.0] * 12)
    head = ct("head", normal=TILTED)

    assert taken(scout, flat_scout, coronal, doses, rendering, planning, head) == ["head"]


def test_a_scout_filed_among_the_slices_is_left_out_of_them() -> None:
    scout, head = ct("a", [0.0], kind=("ORIGINAL", "PRIMARY", "LOCALIZER")), ct("a", [0.0, 5.0, 10.0])
    (series,) = series_taken(Study("1", (replace(head, frames=scout.frames + head.frames),)), HEAD)
    assert series.frames == head.frames


def test_of_several_reconstructions_the_soft_one_nearest_to_five_millimetres_is_taken() -> None:
    thin = ct("thin", np.arange(0, 150, 0.625).tolist(), kernel="H30s")
    thick = ct("thick", np.arange(0, 150, 5.0).tolist(), kernel="H30s")
    bone = ct("bone", np.arange(0, 150, 5.0).tolist(), kernel="H60s")

    assert taken(thin, bone, thick) == ["thick"]
    assert taken(thin, bone) == ["thin"]
    assert taken(bone) == ["bone"]


@pytest.mark.parametrize(
    ("kernel", "description"),
    [("BONEPLUS", ""), ("FC30", ""), ("Hr60s\\3", ""), ("", "Head bone 2.0"), ("", "骨窗"), ("EDGE", "")],
)
def test_kernels_for_bone_are_known_by_their_makers_names(kernel: str, description: str) -> None:
    bone, soft = ct("bone", kernel=kernel, description=description), ct("soft", kernel="STANDARD")
    assert taken(bone, soft) == ["soft"]


@pytest.mark.parametrize("words", ["Head + C", "CTA head", "头颅增强", "Head with contrast"])
def test_a_head_with_contrast_medium_comes_after_the_plain_one(words: str) -> None:
    plain = ct("plain", description="Head without contrast")
    assert taken(ct("contrast", description=words), plain) == ["plain"]


def test_blocks_that_follow_each_other_are_both_taken() -> None:
    below = ct("below", np.arange(0, 40, 2.5).tolist(), normal=TILTED)
    above = ct("above", np.arange(40, 140, 10.0).tolist(), normal=TILTED)
    assert taken(below, above) == ["below", "above"]


def test_series_without_geometry_are_all_taken() -> None:
    assert taken(ct("a", [None] * 4, normal=None), ct("b", [None] * 5, normal=None)) == ["a", "b"]


def test_a_head_first_and_a_feet_first_stack_of_one_head_are_one_stretch() -> None:
    down = ct("down", np.arange(-145, 1, 5.0).tolist(), normal=(0.0, 0.0, -1.0))
    assert taken(ct("up"), down) == ["up"]


@pytest.mark.parametrize(
    ("series", "study", "expected"),
    [
        ("Head 5.0 H30s", "", True),
        ("头颅平扫", "", True),
        ("", "颅脑CT", True),
        ("5mm", "CT BRAIN W/O", True),
        ("Chest 5.0", "CT brain and chest", False),
        ("5mm", "CT brain and chest", False),  # says two things, so neither of this series
        ("5mm", "forehead", False),
        ("", "", False),
    ],
)
def test_where_no_body_part_is_stated_the_descriptions_say_it(
    series: str, study: str, expected: bool
) -> None:
    one = Study("1", (ct("a", body_part="", description=series),), description=study)
    assert (why_not(one, HEAD) == "") is expected


def test_a_series_that_says_nothing_goes_with_those_that_do() -> None:
    silent = ct("silent", [200.0, 205.0, 210.0], body_part="")
    assert taken(ct("head"), silent) == ["head", "silent"]
    assert taken(ct("chest", body_part="CHEST"), silent) == []
    assert taken(ct("chest", body_part="CHEST"), ct("head"), silent) == ["head"]


def test_what_is_stated_in_a_hospitals_own_words_counts() -> None:
    assert taken(ct("a", body_part="HEAD^ROUTINE")) == ["a"]
    assert taken(ct("a", body_part="头部")) == ["a"]
    assert taken(ct("a", body_part="Skull")) == ["a"]
    assert taken(ct("a", body_part="TOE")) == []


def test_a_study_that_says_nothing_is_taken_only_by_a_model_that_a_person_named() -> None:
    silent = Study("1", (ct("a", body_part=""),))
    assert "neither Body Part Examined nor a description" in why_not(silent, HEAD)
    assert why_not(silent, HEAD, is_named=True) == ""
    assert why_not(Study("1", (ct("a", body_part="CHEST"),)), HEAD, is_named=True) == (
        "takes HEAD, BRAIN, and the study says CHEST"
    )


def test_a_study_of_scouts_alone_is_refused_with_the_reason() -> None:
    scouts = Study("1", (ct("scout", [0.0], kind=("LOCALIZER",)),))
    assert why_not(scouts, HEAD).startswith("takes axial slices, no scouts or reformats")


def test_every_code_stands_for_its_own_part() -> None:
    assert {part: part_of(part) for part in WORDS} == {part: part for part in WORDS}


def test_a_written_series_is_taken_as_it_is_read(tmp_path: Path) -> None:
    slices = np.zeros((4, 64, 64), np.int16)
    info = ObjectInfo(seed="a", label="phantom", body_part="HEAD")
    paths = write_ct_series(tmp_path, slices, info=info, spacing_mm=(1.0, 1.0), thickness_mm=5.0)
    (study,), _ = read_studies(paths)
    assert series_taken(study, HEAD) == study.series


RADIOGRAPH = InputRules(
    modalities=(Modality.COMPUTED_RADIOGRAPHY,), when_named=(Modality.PHOTOGRAPH,), body_parts=("CHEST",)
)


def picture(uid: str, modality: Modality) -> Series:
    return replace(ct(uid, [None], normal=None, unit=None, body_part=""), modality=modality)


def test_a_plain_picture_is_taken_only_by_a_model_that_says_so_and_was_named() -> None:
    photograph = Study("1", (picture("a", Modality.PHOTOGRAPH),))

    assert why_not(photograph, RADIOGRAPH) == "takes CR, and XC where it is named"
    assert why_not(photograph, RADIOGRAPH, is_named=True) == ""
    assert why_not(photograph, HEAD, is_named=True) == "takes CT"
    assert series_taken(photograph, RADIOGRAPH) == photograph.series
    assert is_taken_as_named_only(photograph, RADIOGRAPH)


def test_beside_a_usual_series_a_plain_picture_stays_out() -> None:
    usual = picture("a", Modality.COMPUTED_RADIOGRAPHY)
    study = Study("1", (usual, picture("b", Modality.PHOTOGRAPH)), description="CHEST PA")

    assert why_not(study, RADIOGRAPH) == ""
    assert series_taken(study, RADIOGRAPH) == (usual,)
    assert not is_taken_as_named_only(study, RADIOGRAPH)
