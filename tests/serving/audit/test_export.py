"""What leaves the trail holds to the standards: each action, once, against their own rules."""

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from lxml import etree

from serving.audit.dicom_messages import audit_message
from serving.audit.export import Format, Selection, export
from serving.audit.fhir import audit_event_r4, audit_event_r5
from serving.audit.meaning import MEANING
from serving.store.audit import append
from serving.store.audit_chain import START, Action, AuditEvent, AuditRow, Result, sealed
from serving.store.database import Database, open_database
from tests.serving.audit.trails import READER, event

SCHEMA = Path(__file__).parent / "audit-message.rng"


def _row(action: Action, *, study_uid: str | None = "1.2.3", address: str | None = "192.0.2.7") -> AuditRow:
    done = AuditEvent(
        action,
        replace(READER, address=address),
        "local",
        at_us=1_700_000_000_123_456,
        result=Result.REFUSED,
        study_uid=study_uid,
        model="derm-lesion/1",
        details={"studies": ["1.2.3", "1.2.4"]},
    )
    return sealed(done, after=START)


ROWS = [_row(action, study_uid=uid) for action in Action for uid in ("1.2.3", None)]
ROWS += [_row(Action.RECEIVED, address=address) for address in ("::1", "testclient", None)]


def test_every_action_has_a_meaning() -> None:
    assert set(MEANING) == set(Action)


def test_audit_messages_hold_to_the_schema_of_the_standard() -> None:
    schema = etree.RelaxNG(etree.parse(SCHEMA))
    for row in ROWS:
        for patient in (None, ("Hospital", "P1"), ("", "P1")):
            schema.assertValid(etree.fromstring(audit_message(row, patient=patient)))


def test_an_audit_message_names_the_study_and_the_patient_number() -> None:
    message = etree.fromstring(audit_message(_row(Action.VIEWED_STUDY), patient=("Hospital", "P1")))
    assert message.find("EventIdentification/EventID").get("csd-code") == "110103"
    objects = {
        one.get("ParticipantObjectTypeCodeRole"): one for one in message.findall("*[@ParticipantObjectID]")
    }
    assert objects["3"].get("ParticipantObjectID") == "1.2.3"
    assert objects["1"].get("ParticipantObjectID") == "P1^^^Hospital"


def test_what_xml_cannot_hold_is_replaced() -> None:
    row = replace(_row(Action.VIEWED_STUDY), study_uid="1.2\x00<&\ud800")
    assert etree.fromstring(audit_message(row, patient=None)) is not None


@pytest.mark.parametrize("release", ["R4B", ""])
def test_audit_events_are_those_of_fhir(release: str) -> None:
    # R4B left AuditEvent as it was in R4; without a name the package holds R5
    import importlib

    package = importlib.import_module(f"fhir.resources{'.' + release if release else ''}.auditevent")
    write = audit_event_r4 if release else audit_event_r5
    for row in ROWS:
        for patient in (None, ("Hospital", "P1")):
            kept = json.loads(json.dumps(write(row, patient=patient)))
            package.AuditEvent.model_validate(kept)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_database(tmp_path / "test.sqlite")
    with opened.writing() as connection:
        append(connection, [event(number) for number in range(1, 5)])
    yield opened
    opened.close()


@pytest.mark.parametrize("form", Format)
def test_an_export_holds_the_rows_that_were_asked_for(database: Database, form: Format) -> None:
    chosen = Selection(since_us=2_000_000, until_us=4_000_000)
    with database.reading() as connection:
        lines = list(export(connection, chosen, form))
        (only,) = list(export(connection, Selection(study_uid="2.25.3"), form))[-1:]
    assert len(lines) == (3 if form is Format.CSV else 2)
    assert "2.25.3" in only


def test_the_table_is_read_back_and_runs_no_formula(tmp_path: Path) -> None:
    database = open_database(tmp_path / "test.sqlite")
    with database.writing() as connection:
        append(connection, [replace(event(1), who=replace(READER, request_id="=1+1"))])
        rows = list(csv.DictReader(export(connection, Selection(), Format.CSV)))
    database.close()
    assert rows[0]["time"] == "1970-01-01T00:00:01.000000+00:00"
    assert rows[0]["request_id"] == "'=1+1"
