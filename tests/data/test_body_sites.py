from pathlib import Path

import pytest
from pydicom.sr.codedict import codes

from data.body_sites import SITES, BodySite, site_of, site_of_code
from data.sources import ham10000, pad_ufes_20


def test_every_name_and_key_of_a_place_means_that_place() -> None:
    for site, names in SITES.items():
        for said in (site, names.en, names.zh, *names.words, *names.signs):
            assert site_of(said) is site, said
        assert all(site_of_code(code) is site for code in names.codes)


def test_every_place_has_its_names_and_a_code_means_one_place() -> None:
    assert set(SITES) == set(BodySite)
    every = [code for names in SITES.values() for code in names.codes]
    assert len(every) == len(set(every))


def test_the_codes_agree_with_the_meanings_that_dicom_gives_them() -> None:
    disagreeing = [
        (code.meaning, by_code)
        for code in (getattr(codes.cid4029, name) for name in codes.cid4029.dir())
        if (by_code := site_of_code(code.value)) and site_of(code.meaning) not in (None, by_code)
    ]

    assert not disagreeing


@pytest.mark.parametrize(
    ("said", "site"),
    [
        ("Left forearm", BodySite.UPPER_EXTREMITY),
        ("UARM", BodySite.UPPER_EXTREMITY),
        ("Skin of back", BodySite.BACK),
        ("lower_extremity", BodySite.LOWER_EXTREMITY),
        ("the back of the hand", BodySite.HAND),
        ("左手背", BodySite.HAND),
        ("右足底", BodySite.PALM_SOLE),
        ("左前臂", BodySite.UPPER_EXTREMITY),
        ("chest wall, trunk", BodySite.CHEST),
        ("ear and cheek", BodySite.HEAD_NECK),
        ("foot and hand", None),
        ("SKIN", None),
        ("backside", None),
        ("", None),
        (None, None),
        ("back " * 50, None),
    ],
)
def test_a_senders_words_mean_the_place_they_name(said: str | None, site: BodySite | None) -> None:
    assert site_of(said) is site


@pytest.mark.datasets
def test_every_place_of_the_skin_sets_is_known(datasets: Path) -> None:
    images = [
        *ham10000.read_images(datasets / "ham10000_256"),
        *pad_ufes_20.read_images(datasets / "pad_ufes_20_sample"),
    ]

    unknown = {image.context.body_site for image in images if not site_of(image.context.body_site)}

    assert unknown <= {None}
