"""The quality answer to a photograph: each damage is told, a good picture is not blamed."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from data.photo import read_photo
from data.quality.finding import Fault
from data.quality.photograph import judge_photograph, look_at_photograph, measure_photograph
from data.quality.study import look_over
from data.quality.words import CHINESE, ENGLISH
from tests.data.quality.damage import DAMAGES, Picture, from_afar


def mole(side: int = 512) -> Picture:
    """Even skin with pores, and a brown spot with a sharp rim in the middle."""
    random = np.random.default_rng(5)
    skin = np.array([205, 160, 140]) + random.normal(0, 9, (side, side, 1))
    image = Image.fromarray(np.clip(skin, 0, 255).astype(np.uint8)).filter(ImageFilter.GaussianBlur(0.8))
    pen = ImageDraw.Draw(image)
    pen.ellipse((side * 0.32, side * 0.35, side * 0.66, side * 0.68), fill=(96, 62, 48))
    for x, y in random.uniform(0.4, 0.6, (40, 2)) * side:
        pen.ellipse((x, y, x + 4, y + 4), fill=(60, 38, 30))
    return np.asarray(image)


def faults_of(picture: Picture) -> set[Fault]:
    return {one.fault for one in look_at_photograph(picture, shorter_side_px=min(picture.shape[:2]))}


def test_a_good_picture_is_told_nothing_of() -> None:
    assert faults_of(mole()) == set()


# Magenta light on this skin lies within what real skin shows, and half of this picture holds a small part of
# the spot; the report says how much of either is found on real pictures.
@pytest.mark.parametrize(
    "damage", [one for one in DAMAGES if one not in {"magenta light", "half of the picture"}]
)
def test_each_damage_is_told_by_its_code(damage: str) -> None:
    fault, spoil = DAMAGES[damage]
    assert fault in faults_of(spoil(mole(), np.random.default_rng(3)))


def test_a_lesion_that_fills_one_side_of_the_picture_is_cut_off() -> None:
    assert faults_of(mole(1024)[256:768, 512:]) == {Fault.LESION_CUT_OFF}


@pytest.mark.parametrize("colour", [(0, 0, 0), (255, 255, 255), (128, 128, 128), (0, 255, 0)])
@pytest.mark.parametrize("shape", [(1, 1), (3, 900), (16, 16), (300, 300)])
def test_a_picture_of_one_colour_and_any_shape_has_an_answer(
    shape: tuple[int, int], colour: tuple[int, int, int]
) -> None:
    told = faults_of(np.full((*shape, 3), colour, np.uint8))
    assert told
    assert Fault.HAIR not in told


def test_a_finding_says_what_was_measured_and_where_the_fault_begins() -> None:
    spoilt = DAMAGES["three tenths of the light"][1](mole(), np.random.default_rng(3))
    (finding, *_) = judge_photograph(measure_photograph(spoilt, shorter_side_px=512))
    assert finding.fault is Fault.TOO_DARK
    assert finding.measured is not None
    assert finding.limit is not None
    assert finding.measured < finding.limit


def test_measuring_leaves_the_picture_as_it_is() -> None:
    picture = mole()
    before = picture.copy()
    faults_of(picture)
    assert np.array_equal(picture, before)


def test_every_fault_has_words_and_a_mend_in_both_languages() -> None:
    for words in (ENGLISH, CHINESE):
        assert set(words) == set(Fault)
        assert all(one.problem and one.remedy for one in words.values())
    assert all(not one.problem.isascii() and not one.remedy.isascii() for one in CHINESE.values())


def test_a_file_is_looked_over_by_its_content_and_names_its_image(tmp_path: Path) -> None:
    path = tmp_path / "mole"
    Image.fromarray(from_afar(mole(900), np.random.default_rng(3))).save(path, "PNG")
    study = read_photo(path)
    found = look_over(study)
    assert Fault.LESION_TOO_SMALL in {one.fault for one in found}
    assert {one.instance for one in found} == {study.series[0].instances[0].sop_instance_uid}
    assert look_over(study, most_pictures=0) == ()


def test_a_file_that_cannot_be_decoded_is_told_of_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "cut.jpg"
    Image.fromarray(mole()).save(path, "JPEG")
    study = read_photo(path)
    path.write_bytes(path.read_bytes()[:5000])
    assert look_over(study) == ()


@pytest.mark.datasets
def test_of_real_pictures_few_good_ones_are_blamed_and_most_damages_are_found(datasets: Path) -> None:
    paths = sorted((datasets / "ham10000_256" / "HAM10000_images_part_2").glob("*.jpg"))[::250]
    good = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    random = np.random.default_rng(3)
    told = [faults_of(picture) for picture in good]
    assert sum(bool(one) for one in told) <= 0.35 * len(good)
    for damage in (
        "blur, .8 % of the side",
        "grain of 14 steps",
        "three tenths of the light",
        "three reflections",
    ):
        fault, spoil = DAMAGES[damage]
        hits = [fault in faults_of(spoil(picture, random)) for picture in good]
        assert sum(hits) >= 0.9 * len(hits), damage
