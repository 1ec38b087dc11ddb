"""The DICOM JSON and XML models, against pydicom's own and by what a person can check."""

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRBigEndian

from data.dicom.files import open_object, quiet
from data.dicom.json_model import find_value, json_of, json_of_object
from data.dicom.xml_model import NAMESPACE, xml_of
from data.errors import ImageError
from tests.data.dicom.conftest import MakeDicom

PIXELS = np.arange(24, dtype=np.uint16).reshape(4, 6)


def _model(path: Path) -> dict[str, dict[str, Any]]:
    with open_object(path) as opened:
        return json_of_object(opened, bulk_uri=lambda place: f"/bulk/{place}")


@pytest.mark.parametrize(
    ("charset", "codec"), [("GB18030", "gb18030"), ("GBK", "gbk"), ("ISO_IR 192", "utf-8")]
)
def test_text_is_what_was_meant_at_every_depth(make_dicom: MakeDicom, charset: str, codec: str) -> None:
    item = Dataset()
    item.CodeMeaning = "左前臂".encode(codec)
    path = make_dicom(
        PIXELS,
        SpecificCharacterSet=charset,
        PatientName="Wang^Fang=王^芳".encode(codec),
        AnatomicRegionSequence=[item],
    )
    model = _model(path)
    assert model["00100010"]["Value"] == [{"Alphabetic": "Wang^Fang", "Ideographic": "王^芳"}]
    assert model["00082218"]["Value"][0]["00080104"]["Value"] == ["左前臂"]
    assert model["00080005"]["Value"] == ["ISO_IR 192"]


def test_long_values_stand_behind_a_uri_and_short_ones_within(make_dicom: MakeDicom) -> None:
    item = Dataset()
    item.EncapsulatedDocument = bytes(5000)
    path = make_dicom(PIXELS, ICCProfile=b"ab", ReferencedImageSequence=[item])
    model = _model(path)
    assert model["7FE00010"] == {"vr": "OW", "BulkDataURI": "/bulk/7FE00010"}
    assert model["00282000"] == {"vr": "OB", "InlineBinary": "YWI="}
    nested = model["00081140"]["Value"][0]["00420011"]
    assert nested == {"vr": "OB", "BulkDataURI": "/bulk/00081140/0/00420011"}
    with open_object(path) as opened:
        assert find_value(opened.dataset, ["00081140", "0", "00420011"]) == ("OB", bytes(5000))
        for nothing in (["00081140", "1", "00420011"], ["x"], ["00081140"], ["00100010"], []) * 2:
            if nothing:
                assert find_value(opened.dataset, nothing) is None


def test_words_of_big_endian_are_given_in_little_endian_order(make_dicom: MakeDicom) -> None:
    path = make_dicom(
        PIXELS,
        syntax=ExplicitVRBigEndian,
        RedPaletteColorLookupTableData=b"\x01\x02\x03\x04",
        RedPaletteColorLookupTableDescriptor=[2, 0, 16],
    )
    assert _model(path)["00281201"]["InlineBinary"] == "AgEEAw=="


def test_a_number_that_is_none_is_given_as_its_text(make_dicom: MakeDicom) -> None:
    dataset = Dataset()
    dataset.add_new("SliceThickness", "LO", "1.50")
    model = json_of(dataset, bulk_uri=str)
    assert model["00180050"]["Value"] == ["1.50"]
    path = make_dicom(PIXELS, name="a.dcm", SliceThickness="2.50", WindowCenter=["40", "-600.5"])
    path.write_bytes(path.read_bytes().replace(b"2.50", b"thin"))
    model = _model(path)
    assert model["00180050"] == {"vr": "DS", "Value": ["thin"]}
    assert model["00281050"]["Value"] == [40, -600.5]


def test_what_xml_cannot_hold_does_not_break_it() -> None:
    dataset = Dataset()
    dataset.PatientComments = "a\x01b <&> \x1b"
    dataset.add_new(0x00091001, "LO", "private")
    dataset.add_new(0x00090010, "LO", "OWNER")
    root = ET.fromstring(xml_of(json_of(dataset, bulk_uri=str)))
    values = {one.get("tag"): one for one in root}
    assert values["00104000"][0].text == "a\ufffdb <&> \ufffd"
    assert values["00090001"].get("privateCreator") == "OWNER"
    assert root.tag == f"{{{NAMESPACE}}}NativeDicomModel"


def _comparable(model: dict[str, Any]) -> dict[str, Any]:
    """Leave of a model what the standard fixes: not which values are inline, nor how a number looks."""
    kept: dict[str, Any] = {}
    for tag, attribute in model.items():
        if tag.endswith("0000"):  # group lengths, which the standard leaves out
            continue
        if attribute["vr"] in {"OB", "OW", "OD", "OF", "OL", "OV", "UN"} or tag == "00080005":
            continue
        if attribute["vr"] == "SQ":
            kept[tag] = [_comparable(item) for item in attribute.get("Value", ())]
        elif "Value" in attribute and any(one not in (None, "", {}) for one in attribute["Value"]):
            kept[tag] = [
                float(one) if attribute["vr"] in {"DS", "IS"} and one not in (None, "") else one or None
                for one in attribute["Value"]
            ]
    return kept


@pytest.mark.datasets
def test_the_corpus_gives_the_elements_that_pydicom_gives(datasets: Path) -> None:
    n_same = n_compared = 0
    for path in sorted((datasets / "dicom_corpus").rglob("*.dcm")):
        try:
            model = _model(path)
        except ImageError:
            continue
        json.dumps(model, allow_nan=False, ensure_ascii=False).encode()
        ET.fromstring(xml_of(model))
        try:
            with quiet():
                theirs = pydicom.dcmread(path, force=True).to_json_dict(
                    bulk_data_element_handler=lambda _: "x"
                )
        except Exception:  # noqa: BLE001 - whatever keeps pydicom from it, there is nothing to compare
            continue
        theirs.pop("7FE00010", None)
        n_compared += 1
        n_same += _comparable(model) == _comparable(theirs)
    assert n_compared >= 200
    assert n_same / n_compared > 0.97
