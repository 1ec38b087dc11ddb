"""C-FIND: what a device asks for is found at its own site, and its text is right in its character set."""

from collections.abc import Iterator

import pytest
from pydicom.dataset import Dataset

from serving.dimse import calling
from serving.dimse.asking import FIND_PROPOSALS, ask, identifier_of
from serving.dimse.calling import Calling
from serving.dimse.commands import Field, Tag, number, write_command
from serving.dimse.errors import RefusedError
from serving.dimse.identifiers import read_identifier, write_identifier
from serving.dimse.statuses import CANCELLED, PENDING, PENDING_UNMATCHED
from serving.store.audit import read_rows
from serving.store.audit_chain import Action
from serving.store.sites import add_site
from tests.serving.dicomweb.sent import STUDY, ct, send_ct
from tests.serving.dimse.service_by_dicom import Called, called


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Called]:
    folder = tmp_path_factory.mktemp("found")
    with called(folder / "service") as service:
        send_ct(service.service, folder / "ct")
        send_ct(service.service, folder / "other", seed="other", n_slices=2)
        with service.service.database.writing() as connection:
            add_site(connection, "north", "North")
        service.let_in("NORTH", site="north")
        yield service


def _ask(running: Called, level: str, title: str = "SENDER", **keys: str) -> list[Dataset]:
    association = Calling(title)(calling.Place("FIRSTREAD", "127.0.0.1", running.port), FIND_PROPOSALS)
    try:
        return list(ask(association, identifier_of(level, keys)))
    finally:
        association.release()


def test_studies_are_found_by_what_must_match_with_what_was_asked_for(running: Called) -> None:
    assert len(_ask(running, "STUDY")) == 2
    (hit,) = _ask(running, "STUDY", StudyInstanceUID=STUDY)
    assert (hit.PatientID, hit.StudyDate, hit.QueryRetrieveLevel) == ("P1", "20260304", "STUDY")
    assert (hit.NumberOfStudyRelatedInstances, hit.ModalitiesInStudy) == (3, "CT")
    assert hit.RetrieveAETitle == "FIRSTREAD"
    for keys, n_hits in (
        ({"PatientID": "P*"}, 2),
        ({"PatientID": "P2"}, 0),
        ({"StudyDate": "20260101-20260401"}, 2),
        ({"StudyDate": "-20260101"}, 0),
        ({"PatientName": "王*"}, 2),
        ({"PatientName": "wang^fang"}, 2),
        ({"ModalitiesInStudy": "MR"}, 0),
    ):
        assert len(_ask(running, "STUDY", **keys)) == n_hits, keys


def test_series_and_images_are_found_below_a_study(running: Called) -> None:
    (series,) = _ask(running, "SERIES", StudyInstanceUID=STUDY)
    assert (series.Modality, series.NumberOfSeriesRelatedInstances) == ("CT", 3)
    images = _ask(running, "IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=series.SeriesInstanceUID)
    assert sorted(int(one.InstanceNumber) for one in images) == [1, 2, 3]
    assert {one.SOPClassUID for one in images} == {"1.2.840.10008.5.1.4.1.1.2"}


def test_a_device_finds_nothing_of_another_site(running: Called) -> None:
    assert _ask(running, "STUDY", title="NORTH") == []
    assert _ask(running, "STUDY", title="NORTH", StudyInstanceUID=STUDY) == []


@pytest.mark.parametrize(
    ("asked", "answered"),
    [("", "ISO_IR 192"), ("ISO_IR 192", "ISO_IR 192"), ("GB18030", "GB18030"), ("ISO_IR 100", "ISO_IR 192")],
)
def test_names_come_in_the_character_set_of_who_asks_or_in_one_that_holds_them(
    running: Called, asked: str, answered: str
) -> None:
    (hit,) = _ask(
        running, "STUDY", StudyInstanceUID=STUDY, **({"SpecificCharacterSet": asked} if asked else {})
    )
    assert (hit.SpecificCharacterSet, str(hit.PatientName)) == (answered, "Wang^Fang=王^芳")


def test_a_name_in_the_bytes_of_gb18030_is_found(running: Called) -> None:
    assert len(_ask(running, "STUDY", SpecificCharacterSet="GB18030", PatientName="王^芳")) == 2


def test_plain_text_names_no_character_set() -> None:
    plain = Dataset()
    plain.PatientName = "Li^Na"
    assert "SpecificCharacterSet" not in read_identifier(
        write_identifier(plain, "1.2.840.10008.1.2"), "1.2.840.10008.1.2"
    )


def test_what_is_not_searched_by_is_said(running: Called) -> None:
    association = Calling("SENDER")(calling.Place("FIRSTREAD", "127.0.0.1", running.port), FIND_PROPOSALS)
    context = next(iter(association.contexts.values()))
    statuses = []
    for keys in ({"PatientID": "P1"}, {"PatientID": "P1", "ImageComments": "x"}):
        asked = identifier_of("STUDY", keys)
        command: dict[Tag, str | int] = {
            Tag.FIELD: Field.FIND,
            Tag.MESSAGE_ID: 1,
            Tag.AFFECTED_CLASS: context.abstract,
        }
        association.send(context, command, [write_identifier(asked, context.syntax)])
        seen = set()
        while (status := _next_status(association)) != 0:
            seen.add(status)
        statuses.append(seen)
    association.release()
    assert statuses == [{PENDING}, {PENDING_UNMATCHED}]


def _next_status(association: object) -> int:
    answer = association.receive()  # type: ignore[attr-defined]  # an association
    association.data_of(answer, lambda _piece: None)  # type: ignore[attr-defined]
    return number(answer.command, Tag.STATUS)


@pytest.mark.parametrize("level", ["", "PATIENT", "STUDI"])
def test_a_level_that_there_is_not_and_what_is_no_identifier_are_refused(running: Called, level: str) -> None:
    association = Calling("SENDER")(calling.Place("FIRSTREAD", "127.0.0.1", running.port), FIND_PROPOSALS)
    asked = identifier_of("STUDY", {})
    asked.QueryRetrieveLevel = level
    with pytest.raises(RefusedError, match="A900"):
        list(ask(association, asked))
    context = next(iter(association.contexts.values()))
    for noise in (b"\xff" * 41, b"\x08\0\x52\0\xff\xff\xff\x7f"):
        command: dict[Tag, str | int] = {
            Tag.FIELD: Field.FIND,
            Tag.MESSAGE_ID: 1,
            Tag.AFFECTED_CLASS: context.abstract,
        }
        association.send(context, command, [noise])
        assert _next_status(association) == 0xA900
    association.release()


def test_a_date_that_is_none_is_refused(running: Called) -> None:
    with pytest.raises(RefusedError, match="A900"):
        _ask(running, "STUDY", StudyDate="yesterday")


def test_a_query_that_is_cancelled_ends(running: Called, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("serving.dimse.association.Association.is_cancelled", lambda *_: True)
    with pytest.raises(RefusedError, match=f"{CANCELLED:04X}"):
        _ask(running, "STUDY")
    assert write_command({Tag.FIELD: Field.CANCEL, Tag.ANSWERED_ID: 1}, has_data=False)


def test_a_query_leaves_a_row_with_what_was_shown(running: Called) -> None:
    _ask(running, "STUDY", StudyInstanceUID=STUDY)
    with running.service.database.reading() as connection:
        rows = [row for row in read_rows(connection) if row.action == Action.VIEWED_LIST]
    assert (rows[-1].actor_kind, rows[-1].actor) == ("device", "SENDER")
    assert STUDY in rows[-1].details
    assert '"c-find"' in rows[-1].details
    assert ct is not None
