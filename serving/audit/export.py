"""Writes rows of the trail for others: FHIR, DICOM, or a table for a regulator."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING

from serving.audit.dicom_messages import audit_message
from serving.audit.fhir import audit_event_r4, audit_event_r5
from serving.store.audit import patient_identifiers, read_rows
from serving.store.audit_chain import AuditRow
from serving.store.times import from_us

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

_ROWS_AT_A_TIME = 500

Patients = dict[str, tuple[str, str]]


class Format(StrEnum):
    """How rows are written, one a line."""

    FHIR = "fhir"
    FHIR_R5 = "fhir-r5"
    DICOM = "dicom"
    CSV = "csv"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows; a time is in microseconds since 1970 UTC, `until_us` not included, None means all."""

    since_us: int | None = None
    until_us: int | None = None
    study_uid: str | None = None


def export(connection: "Connection", selection: Selection, form: Format) -> Iterator[str]:
    """Yield the chosen rows as lines, a few hundred in memory at a time."""
    rows = read_rows(
        connection,
        since_us=selection.since_us,
        until_us=selection.until_us,
        study_uid=selection.study_uid,
    )
    if form is Format.CSV:
        return _table(rows)
    write: Callable[[AuditRow, tuple[str, str] | None], str] = {
        Format.FHIR: lambda row, patient: _line(audit_event_r4(row, patient=patient)),
        Format.FHIR_R5: lambda row, patient: _line(audit_event_r5(row, patient=patient)),
        Format.DICOM: lambda row, patient: audit_message(row, patient=patient) + "\n",
    }[form]
    return _documents(connection, rows, write)


def _documents(
    connection: "Connection",
    rows: Iterator[AuditRow],
    write: Callable[[AuditRow, tuple[str, str] | None], str],
) -> Iterator[str]:
    while batch := list(islice(rows, _ROWS_AT_A_TIME)):
        uids = sorted({row.study_uid for row in batch if row.study_uid is not None})
        patients: Patients = patient_identifiers(connection, uids)
        for row in batch:
            yield write(row, patients.get(row.study_uid or ""))


def _line(document: dict[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _table(rows: Iterable[AuditRow]) -> Iterator[str]:
    names = [one.name for one in fields(AuditRow)]
    yield _csv(["time", *names])
    for row in rows:
        time = from_us(row.at_us).isoformat(timespec="microseconds")
        yield _csv([time, *(_harmless(getattr(row, name)) for name in names)])


def _csv(values: list[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def _harmless(value: object) -> str:
    """Write a value so that a spreadsheet takes it for text: a formula in it would be run."""
    text = "" if value is None else str(value)
    return f"'{text}" if isinstance(value, str) and text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
