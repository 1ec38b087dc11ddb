"""Text as it was meant, from the character sets that Chinese, Japanese and Korean senders use."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.dicom.charset import decode_text, split_values
from data.dicom.grouping import read_studies
from data.dicom.header import read_header

MakeDicom = Callable[..., Path]

# 誠 is BD 5C in GBK's neighbour Big5; in GBK 乗 is 81 5C: its second byte is the backslash.
BACKSLASH_CHARACTER = "乗"


@pytest.mark.parametrize(
    ("terms", "sent", "meant"),
    [
        (["GB18030"], "王^小东".encode("gb18030"), "王^小东"),
        (["GBK"], "王^小东".encode("gbk"), "王^小东"),
        (["ISO_IR 192"], "王^小东".encode(), "王^小东"),
        (["ISO_IR 192"], "Zhang^San=张^三".encode(), "Zhang^San=张^三"),
        # PS3.5 K.2, the standard's own example of simplified Chinese with code extensions.
        (
            ["", "ISO 2022 IR 58"],
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
            "Zhang^XiaoDong=张^小东=",
        ),
        # PS3.5 H.3.1: kanji and hiragana, each part beginning and ending in ASCII.
        (
            ["", "ISO 2022 IR 87"],
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        # PS3.5 H.3.2: half-width katakana first.
        (
            ["ISO 2022 IR 13", "ISO 2022 IR 87"],
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎",
        ),
        # PS3.5 I.2: hangul and hanja.
        (
            ["", "ISO 2022 IR 149"],
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        (["ISO_IR 100"], "Äneas^Rüdiger".encode("latin-1"), "Äneas^Rüdiger"),
        (["ISO_IR 144"], "Люкceмбypг".encode("iso8859-5"), "Люкceмбypг"),
        ([""], b"Wang^XiaoDong ", "Wang^XiaoDong"),
    ],
)
def test_a_name_is_shown_as_it_was_meant(terms: list[str], sent: bytes, meant: str) -> None:
    assert decode_text(sent, terms, is_name=True) == meant


def test_a_delimiter_ends_the_reach_of_a_code_extension() -> None:
    sent = b"\x1b$)A\xd5\xc5^\xe9"
    assert decode_text(sent, ["ISO 2022 IR 100", "ISO 2022 IR 58"], is_name=True) == "张^é"


def test_a_backslash_inside_a_character_does_not_split_it() -> None:
    sent = f"{BACKSLASH_CHARACTER}\\二".encode("gbk")
    assert sent.count(b"\\") == 2
    assert split_values(decode_text(sent, ["GBK"])) == (BACKSLASH_CHARACTER, "二")


@given(st.text(st.characters(codec="gb18030", exclude_characters="\x1b\\", exclude_categories=["Cc"])))
def test_whatever_gb18030_can_say_comes_back(text: str) -> None:
    assert decode_text(text.encode("gb18030"), ["GB18030"]) == text.strip("\x00 ")


@given(
    st.binary(max_size=64),
    st.sampled_from(["", "ISO 2022 IR 87", "ISO 2022 IR 58", "GBK", "ISO_IR 192", "x"]),
)
def test_no_bytes_break_the_decoder(raw: bytes, term: str) -> None:
    assert isinstance(decode_text(raw, [term]), str)


def test_gbk_labelled_latin_is_shown_right_when_the_call_says_so(make_dicom: MakeDicom) -> None:
    path = make_dicom(SpecificCharacterSet="ISO_IR 100", PatientName="XXXXXXXXX", PatientID="1")
    sent = "欧阳^建国".encode("gbk")
    path.write_bytes(path.read_bytes().replace(b"XXXXXXXXX", sent))
    before = path.read_bytes()

    assert read_header(path).text("PatientName") == sent.decode("latin-1")
    assert read_header(path, character_set="GBK").text("PatientName") == "欧阳^建国"
    assert read_header(path, character_set="GB18030").text("PatientName") == "欧阳^建国"
    assert path.read_bytes() == before


def test_the_override_reaches_into_sequences(make_dicom: MakeDicom) -> None:
    item = pydicom.Dataset()
    item.CodeMeaning = "XXXX"
    path = make_dicom(SpecificCharacterSet="ISO_IR 100", AnatomicRegionSequence=[item])
    path.write_bytes(path.read_bytes().replace(b"XXXX", "头皮".encode("gbk")))

    header = read_header(path, character_set="GBK")

    assert header.dataset.AnatomicRegionSequence[0].CodeMeaning == "头皮"


def test_the_study_carries_the_overridden_name(make_dicom: MakeDicom) -> None:
    path = make_dicom(np.zeros((2, 2), np.uint8), PatientName="XXXX", PatientID="7")
    path.write_bytes(path.read_bytes().replace(b"XXXX", "王东".encode("gbk")))

    (study,), _ = read_studies([path], character_set="GBK")

    assert study.patient is not None
    assert study.patient.name == "王东"


@pytest.mark.parametrize("label", ["utf-8", "ISO IR 192", "ISO-IR 192", "UTF8"])
def test_a_misspelt_label_is_understood(make_dicom: MakeDicom, label: str) -> None:
    path = make_dicom(PatientName="XXXXXX")
    path.write_bytes(path.read_bytes().replace(b"XXXXXX", "王东".encode()))
    assert read_header(path, character_set=label).text("PatientName") == "王东"


@pytest.mark.datasets
def test_every_character_set_of_the_corpus_is_read(datasets: Path) -> None:
    names = {
        path.stem.split("_", 1)[1]: read_header(path).text("PatientName")
        for path in (datasets / "dicom_corpus").rglob("*_chr*.dcm")
    }
    assert names["chrX1"] == "Wang^XiaoDong=王^小東"
    assert names["chrX2"] == "Wang^XiaoDong=王^小东"
    assert names["chrH31"] == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert names["chrH32"] == "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう"
    assert names["chrI2"] == "Hong^Gildong=洪^吉洞=홍^길동"
    assert names["chrGerm"] == "Äneas^Rüdiger"
    assert names["chrRuss"] == "Люкceмбypг"
    assert names["chrGreek"] == "Διονυσιος"
    assert names["chrHbrw"] == "שרון^דבורה"
    assert names["chrArab"] == "قباني^لنزار"
    assert names["chrFren"] == "Buc^Jérôme"
