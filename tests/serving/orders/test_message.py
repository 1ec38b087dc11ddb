"""What an HL7 message says: its character set, its escapes, its orders."""

import pytest

from serving.orders.charset import decode
from serving.orders.message import MOST_PARTS, parse
from serving.orders.message_orders import Control, orders_told
from serving.orders.refusal import ErrorCode, MessageRefusedError
from serving.store.orders import OrderState
from tests.serving.orders.messages import PID, omi, orm, read

# As table 0211 and as senders call it; the codec, and a name that can be written in it.
CHARSETS = [
    ("UNICODE UTF-8", "utf-8", "王^小东"),
    ("UTF-8", "utf-8", "王^小东"),
    ("UNICODE", "utf-8", "王^小东"),
    ("GB 18030-2000", "gb18030", "王^小东"),
    ("GB18030", "gb18030", "㐀^𠀀"),
    ("GBK", "gbk", "閫^縗"),
    ("GB2312", "gb2312", "王^小东"),
    ("BIG-5", "big5", "許^功蓋"),
    ("ISO IR87", "iso2022_jp", "山田^太郎"),
    ("~ISO IR87", "iso2022_jp", "山田^太郎"),
    ("ASCII~ISO IR87", "iso2022_jp", "山田^太郎"),
    ("KS X 1001", "euc_kr", "김^희중"),
    ("8859/1", "latin-1", "Müller^Jörg"),
    ("8859/5", "iso8859-5", "Иванов^Иван"),
    ("8859/15", "iso8859-15", "Œuvre^Zoë"),
    ("ASCII", "ascii", "Wang^Xiaodong"),
    ("", "ascii", "Wang^Xiaodong"),
    ("", "utf-8", "王^小东"),
]


@pytest.mark.parametrize(("label", "codec", "name"), CHARSETS)
def test_a_name_is_read_in_the_character_set_that_msh_18_names(label: str, codec: str, name: str) -> None:
    message = read(orm(charset=label, patient=f"PID|1||P1||{name}"), codec=codec)
    (told,) = orders_told(message)
    assert told.patient is not None
    assert told.patient.name == name
    assert (told.accession, told.question) == ("ACC1", "cough")


@pytest.mark.parametrize("text", ["晐檤檦", "鋅|讀^號~譌", "\N{CJK UNIFIED IDEOGRAPH-8B80}"])
def test_bytes_of_delimiters_inside_characters_divide_nothing(text: str) -> None:
    question = text.replace("|", "").replace("^", "").replace("~", "")
    message = read(orm(charset="GBK", question=question, application="晐檤"), codec="gbk")
    assert orders_told(message)[0].question == question
    assert message.header.text(3) == "晐檤"


def test_what_the_operator_entered_counts_before_what_the_message_says() -> None:
    message = read(orm(charset="ASCII"), codec="gbk", override="GBK")
    (told,) = orders_told(message)
    assert told.patient is not None
    assert told.patient.name == "Wang^Xiaodong=王^小东"


@pytest.mark.parametrize(
    ("label", "codec", "code"),
    [
        ("", "gbk", ErrorCode.FIELD_MISSING),
        ("UNICODE UTF-8", "gbk", ErrorCode.DATA_TYPE),
        ("ASCII", "utf-8", ErrorCode.DATA_TYPE),
        ("CNS 11643-1992", "utf-8", ErrorCode.VALUE_NOT_FOUND),
        ("UNICODE UTF-16", "utf-8", ErrorCode.VALUE_NOT_FOUND),
    ],
)
def test_a_name_is_never_guessed(label: str, codec: str, code: ErrorCode) -> None:
    with pytest.raises(MessageRefusedError) as caught:
        read(orm(charset=label), codec=codec)
    assert (caught.value.code, caught.value.location) == (code, "MSH^1^18")


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (r"a\F\b\S\c\T\d\R\e\E\f", "a|b^c&d~e\\f"),
        (r"one\.br\two\.sp1\three", "one\ntwo\nthree"),
        (r"\H\bold\N\ plain", "bold plain"),
        (r"\XE78E8B\ \Xe5b08f\ ", "王 小"),
        (r"\Zunknown\ stays", r"\Zunknown\ stays"),
        ("a backslash \\ alone", "a backslash \\ alone"),
        (r"\M2442\;3ED\C2842\ end", "山田 end"),
        ('""', ""),
    ],
)
def test_escape_sequences_become_what_they_stand_for(sent: str, meant: str) -> None:
    message = read(orm(question="x").replace("^x", f"^{sent}"))
    assert orders_told(message)[0].question == meant


@pytest.mark.parametrize("newline", ["\r", "\n", "\r\n"])
def test_segments_may_end_as_senders_end_them(newline: str) -> None:
    message = read(orm().replace("\r", newline))
    assert orders_told(message)[0].accession == "ACC1"


def test_other_delimiters_than_the_usual_are_taken() -> None:
    text = orm(charset="").replace("|", "#").replace("^~\\&", "*!/%").replace("^", "*").replace("~", "!")
    (told,) = orders_told(read(text))
    assert told.patient is not None
    assert (told.patient.name, told.procedure) == ("Wang*Xiaodong=王*小东".replace("*", "^"), "CT head")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "MSH",
        "MSH|",
        "MSH|^~\\&",
        "MSH||||",
        "MSH|^^^^|A",
        "PID|1",
        "MSH|^~\\&|A|\rhello",
        "\x00\x00",
        orm() + orm(),
        "MSH|^~\\&|" + "|" * (MOST_PARTS + 1),
    ],
)
def test_what_is_no_message_is_refused(text: str) -> None:
    with pytest.raises(MessageRefusedError):
        parse(decode(text.encode()))


def test_an_imaging_order_is_read_from_its_own_segments() -> None:
    (told,) = orders_told(read(omi(tq1="S^Stat^HL70485")))
    assert (told.accession, told.placer, told.priority) == ("ACC1", "PL2", "stat")
    assert (told.question, told.procedure, told.control) == ("since a week", "Chest PA", Control.NEW)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("S", "stat"),
        ("STAT", "stat"),
        ("A", "urgent"),
        ("U", "urgent"),
        ("P", "urgent"),
        ("TS30", "urgent"),
        ("R", "routine"),
        ("C", "routine"),
        ("PRN", "routine"),
        ("", None),
    ],
)
def test_priorities_are_those_of_the_table(given: str, meant: str | None) -> None:
    assert orders_told(read(orm(priority=given)))[0].priority == meant


def test_the_most_urgent_of_several_places_counts() -> None:
    text = orm(priority="R").replace("ORC|NW|PL1|||", "ORC|NW|PL1|||||^^^^^S")
    assert orders_told(read(text))[0].priority == "stat"


@pytest.mark.parametrize(
    ("places", "found"),
    [(("ORC-3",), "F1"), (("OBR-2", "OBR-18"), "PL1"), (("OBR-20", "OBR-18"), "ACC1")],
)
def test_the_accession_number_stands_where_the_operator_says(places: tuple[str, ...], found: str) -> None:
    text = orm().replace("ORC|NW|PL1|", "ORC|NW|PL1|F1")
    assert orders_told(read(text), accession=places)[0].accession == found


def test_the_question_is_the_reason_the_information_and_the_notes_each_once() -> None:
    text = orm(question="cough").replace("|S||||||||", "|S||||||||smoker")
    text += "NTE|1||since a week~and fever\rNTE|2||cough\rOBX|1|TX|a||b\rNTE|1||of the result\r"
    assert orders_told(read(text))[0].question == "cough\nsmoker\nsince a week\nand fever"


def test_every_identifier_is_kept_with_its_issuer_the_record_s_first() -> None:
    pid = "PID|1||310110198002030010^^^GOV^NI~P1^^^&1.2.3&ISO^MR~77||Wang^X|||F"
    (told,) = orders_told(read(orm(patient=pid)))
    assert told.patient is not None
    assert told.patient.identifiers == (("1.2.3", "P1"), ("", "77"), ("GOV", "310110198002030010"))
    assert (told.patient.birth_date, told.patient.sex) == ("", "F")


def test_several_orders_of_one_message_are_told_apart_and_several_procedures_of_one_joined() -> None:
    more = orm(accession="ACC2", placer="PL9", priority="R", question="fall").split("\r")[3:5]
    again = orm(priority="R", question="trauma").split("\r")[4].replace("CT head", "CT neck")
    text = orm() + again + "\r" + "\r".join(more) + "\r"
    first, second = orders_told(read(text))
    assert (first.accession, first.priority, first.question) == ("ACC1", "stat", "cough\ntrauma")
    assert first.procedure == "CT head; CT neck"
    assert (second.accession, second.placer, second.priority) == ("ACC2", "PL9", "routine")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("CM", OrderState.COMPLETED),
        ("CA", OrderState.REVOKED),
        ("HD", OrderState.ON_HOLD),
        ("IP", OrderState.ACTIVE),
    ],
)
def test_a_change_of_status_says_where_an_order_stands(status: str, state: OrderState) -> None:
    assert orders_told(read(orm(control="SC", status=status)))[0].state is state


@pytest.mark.parametrize(
    ("text", "code", "location"),
    [
        (orm(control=""), "101", "ORC^1^1"),
        (orm(control="RF"), "103", "ORC^1^1"),
        (orm(control="SC"), "101", "ORC^1^5"),
        (orm(control="SC", status="XX"), "103", "ORC^1^5"),
        (orm(priority="VERY"), "103", "OBR^1^5"),
        (orm(accession=""), "101", "OBR^1^18"),
        (orm(accession="A" * 65), "102", "OBR^1^18"),
        (orm(patient="PID|1"), "101", "PID^1^3"),
        (orm(patient=PID.replace("19800203", "yesterday")), "102", "PID^1^7"),
        (orm().replace("ORC|NW|PL1", "ZZZ|"), "100", "OBR^1"),
        (orm(control="CA", placer="", accession=""), "101", "ORC^1^2"),
        ("\r".join(orm().split("\r")[:3]), "100", "ORC^1"),
        ("\r".join(orm().split("\r")[:4]), "100", "ORC^1"),
    ],
)
def test_what_is_missing_or_wrong_is_named_with_its_place(text: str, code: str, location: str) -> None:
    with pytest.raises(MessageRefusedError) as caught:
        orders_told(read(text))
    assert (caught.value.code, caught.value.location) == (code, location)
