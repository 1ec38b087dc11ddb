"""Writes the DICOM JSON Model as the Native DICOM Model, which is the same in XML.

References
----------
PS3.19 A.1 (Native DICOM Model), PS3.18 F.4 (transformation).
"""

import re
from collections.abc import Mapping
from typing import Final
from xml.etree.ElementTree import Element, SubElement, tostring

from pydicom.datadict import keyword_for_tag

from data.dicom.json_model import JsonDataset

NAMESPACE: Final = "http://dicom.nema.org/PS3.19/models/NativeDICOM"
_NAME_PARTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
# What XML 1.0 cannot hold, escaped or not.
_NO_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_of(model: JsonDataset) -> bytes:
    """Write one data set as a document in UTF-8."""
    root = Element("NativeDicomModel", {"xmlns": NAMESPACE, "xml:space": "preserve"})
    _add_attributes(root, model)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode").encode()


def _add_attributes(parent: Element, model: Mapping[str, object]) -> None:
    for tag, attribute in model.items():
        if not isinstance(attribute, Mapping):
            continue
        facts = {"tag": tag, "vr": str(attribute["vr"])}
        number = int(tag, 16)
        if number >> 16 & 1:
            creator = _creator_of(model, number)
            if creator:
                facts |= {"tag": f"{number & 0xFFFF00FF:08X}", "privateCreator": creator}
        elif keyword := keyword_for_tag(number):
            facts["keyword"] = keyword
        _add_values(SubElement(parent, "DicomAttribute", facts), attribute)


def _creator_of(model: Mapping[str, object], number: int) -> str:
    block = (number & 0xFF00) >> 8
    attribute = model.get(f"{number & 0xFFFF0000 | block:08X}") if block else None
    values = attribute.get("Value") if isinstance(attribute, Mapping) else None
    return _clean(values[0]) if isinstance(values, list) and values else ""


def _add_values(parent: Element, attribute: Mapping[str, object]) -> None:
    if uri := attribute.get("BulkDataURI"):
        SubElement(parent, "BulkData", {"uri": str(uri)})
        return
    if binary := attribute.get("InlineBinary"):
        SubElement(parent, "InlineBinary").text = str(binary)
        return
    values = attribute.get("Value")
    for place, value in enumerate(values if isinstance(values, list) else (), start=1):
        number = {"number": str(place)}
        if attribute["vr"] == "SQ":
            _add_attributes(SubElement(parent, "Item", number), value)
        elif attribute["vr"] == "PN":
            _add_name(SubElement(parent, "PersonName", number), value or {})
        else:
            SubElement(parent, "Value", number).text = "" if value is None else _clean(value)


def _add_name(parent: Element, name: Mapping[str, str]) -> None:
    for group, text in name.items():
        element = SubElement(parent, group)
        for part, written in zip(_NAME_PARTS, text.split("^"), strict=False):
            if written:
                SubElement(element, part).text = _clean(written)


def _clean(value: object) -> str:
    return _NO_XML.sub("\ufffd", str(value))
