from inspect import Parameter, signature
from pathlib import Path

import pytest

from training.errors import DatasetError
from training.recipe import SourceSpec
from training.sources import KINDS, read_source

FITZPATRICK = (
    "md5hash,fitzpatrick_scale,fitzpatrick_centaur,label,nine_partition_label,three_partition_label,qc,url,"
    "url_alphanum\n"
    "aa,3,3,melanoma,malignant melanoma,malignant,,https://example.org/a.jpg,a.jpg\n"
)


def spec(kind: str, options: dict[str, bool | int | float | str]) -> SourceSpec:
    return SourceSpec(kind=kind, folder="set", title="A set", licence="CC0", options=options)


def test_an_option_reaches_the_reader_of_its_source(tmp_path: Path) -> None:
    (tmp_path / "fitzpatrick17k.csv").write_text(FITZPATRICK, encoding="utf-8")
    (tmp_path / "aa.jpg").write_bytes(b"")

    (image,) = read_source(spec("fitzpatrick17k", {"level": "label"}), tmp_path)

    assert image.label == "melanoma"


def test_an_option_that_a_source_does_not_have_is_refused_with_those_it_has(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="'isic' has no option jahr; it has year, unknown"):
        read_source(spec("isic", {"jahr": 2019}), tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_is_read_from_its_folder_alone(kind: str) -> None:
    parameters = list(signature(KINDS[kind]).parameters.values())

    assert all(
        parameter.kind is Parameter.KEYWORD_ONLY and parameter.default is not Parameter.empty
        for parameter in parameters[1:]
    )
