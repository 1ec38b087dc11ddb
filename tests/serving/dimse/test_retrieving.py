"""C-MOVE, C-GET and storage commitment, with an SCU and SCP that this project did not write."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, build_role, evt

from serving.dimse import commitment
from serving.store.audit import read_rows
from serving.store.audit_chain import Action
from tests.serving.dicomweb.sent import SERIES, STUDY, ct, send_ct
from tests.serving.dimse.service_by_dicom import Called, called

EXPLICIT, IMPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
JPEG_LS = "1.2.840.10008.1.2.4.80"
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
MOVE, GET = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"
COMMITMENT = "1.2.840.10008.1.20.1"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Called]:
    folder = tmp_path_factory.mktemp("given")
    with called(folder / "service") as service:
        send_ct(service.service, folder / "ct")
        yield service


def _asked(level: str = "STUDY", **keys: object) -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = level
    for name, value in keys.items():
        setattr(asked, name, value)
    return asked


@contextmanager
def _receiver(
    syntaxes: list[str], status: Callable[[], int] = lambda: 0
) -> Iterator[tuple[int, list[Dataset]]]:
    """Run another's storage SCP; gives its port and what it was sent."""
    received: list[Dataset] = []

    def take(event: Any) -> int:  # noqa: ANN401 - pynetdicom's
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        received.append(dataset)
        return status()

    entity = AE("DEST")
    entity.add_supported_context(CT_STORAGE, syntaxes)
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, take)])
    assert server is not None
    try:
        yield server.server_address[1], received
    finally:
        server.shutdown()


def _move(running: Called, asked: Dataset, destination: str = "DEST") -> list[tuple[Dataset, Dataset | None]]:
    entity = AE("SENDER")
    entity.add_requested_context(MOVE)
    association = entity.associate("127.0.0.1", running.port, ae_title="FIRSTREAD")
    assert association.is_established
    try:
        return list(association.send_c_move(asked, destination, MOVE))
    finally:
        association.release()


@contextmanager
def _destination(running: Called, port: int, title: str = "DEST") -> Iterator[None]:
    device = running.let_in(title, host="127.0.0.1", port=port)
    try:
        yield
    finally:
        from serving.audit.opening import operator
        from serving.store.tenancy import Scope

        running.devices.remove(device.key, who=operator(), scope=Scope(None))


@pytest.mark.parametrize("syntaxes", [[EXPLICIT], [IMPLICIT], [JPEG_LS], [EXPLICIT, IMPLICIT]])
def test_a_study_is_moved_to_a_device_in_what_it_takes(
    running: Called, syntaxes: list[str], tmp_path: Path
) -> None:
    with _receiver(syntaxes) as (port, received), _destination(running, port):
        answers = _move(running, _asked(StudyInstanceUID=STUDY))
    assert [status.Status for status, _ in answers] == [0xFF00, 0xFF00, 0x0000]
    last = answers[-1][0]
    assert (last.NumberOfCompletedSuboperations, last.NumberOfFailedSuboperations) == (3, 0)
    assert {one.file_meta.TransferSyntaxUID for one in received} <= set(syntaxes)
    sent = {pydicom.dcmread(path).SOPInstanceUID: pydicom.dcmread(path) for path in ct(tmp_path)}
    assert {one.SOPInstanceUID for one in received} == set(sent)
    for one in received:
        assert np.array_equal(one.pixel_array, sent[one.SOPInstanceUID].pixel_array)


def test_parts_of_a_study_are_moved_by_their_unique_keys(running: Called, tmp_path: Path) -> None:
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in ct(tmp_path)]
    image = _asked("IMAGE", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES, SOPInstanceUID=uids[:2])
    with _receiver([EXPLICIT]) as (port, received), _destination(running, port):
        _move(running, _asked("SERIES", StudyInstanceUID=STUDY, SeriesInstanceUID=SERIES))
        assert len(received) == 3
        _move(running, image)
        assert {one.SOPInstanceUID for one in received[3:]} == set(uids[:2])
        missing = _move(running, _asked(StudyInstanceUID="1.2.3.4"))
        assert missing[-1][0].Status == 0
        assert _move(running, _asked("SERIES", StudyInstanceUID=STUDY))[-1][0].Status == 0xA900


def test_what_the_destination_refuses_is_told_by_name(running: Called) -> None:
    with _receiver([EXPLICIT], lambda: 0xA700) as (port, received), _destination(running, port):
        answers = _move(running, _asked(StudyInstanceUID=STUDY))
    status, failed = answers[-1]
    assert (status.Status, status.NumberOfFailedSuboperations) == (0xA702, 3)
    assert failed is not None
    assert set(failed.FailedSOPInstanceUIDList) == {one.SOPInstanceUID for one in received}
    with running.service.database.reading() as connection:
        row = [row for row in read_rows(connection) if row.action == Action.TRANSFERRED][-1]
    assert (row.result, row.study_uid) == ("failed", STUDY)
    assert '"to":"DEST"' in row.details.replace(" ", "")


def test_nothing_goes_to_who_is_not_known_or_does_not_listen(running: Called) -> None:
    assert _move(running, _asked(StudyInstanceUID=STUDY), "NOBODY")[-1][0].Status == 0xA801
    running.let_in("CALLER_ONLY")
    assert _move(running, _asked(StudyInstanceUID=STUDY), "CALLER_ONLY")[-1][0].Status == 0xA801
    with _destination(running, 1, "DEAF"):
        (status, _) = _move(running, _asked(StudyInstanceUID=STUDY), "DEAF")[-1]
    assert (status.Status, status.NumberOfFailedSuboperations) == (0xA702, 3)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, JPEG_LS])
def test_a_study_is_got_back_on_the_same_association(running: Called, syntax: str) -> None:
    received: list[Dataset] = []

    def take(event: Any) -> int:  # noqa: ANN401 - pynetdicom's
        received.append(event.dataset)
        return 0

    entity = AE("SENDER")
    entity.add_requested_context(GET)
    entity.add_requested_context(CT_STORAGE, syntax)
    association = entity.associate(
        "127.0.0.1",
        running.port,
        ae_title="FIRSTREAD",
        ext_neg=[build_role(CT_STORAGE, scp_role=True)],
        evt_handlers=[(evt.EVT_C_STORE, take)],
    )
    answers = list(association.send_c_get(_asked(StudyInstanceUID=STUDY), GET))
    association.release()
    assert answers[-1][0].Status == 0
    assert (answers[-1][0].NumberOfCompletedSuboperations, len(received)) == (3, 3)


def test_who_takes_no_images_on_its_association_gets_none(running: Called) -> None:
    entity = AE("SENDER")
    entity.add_requested_context(GET)
    association = entity.associate("127.0.0.1", running.port, ae_title="FIRSTREAD")
    answers = list(association.send_c_get(_asked(StudyInstanceUID=STUDY), GET))
    association.release()
    assert (answers[-1][0].Status, answers[-1][0].NumberOfFailedSuboperations) == (0xA702, 3)


def _commit(
    running: Called, references: list[tuple[str, str]], title: str = "SENDER", *, port: int | None = None
) -> Dataset:
    """Ask for commitment, and give the report: on the same association, or on one to a port of ours."""
    reports: list[tuple[int, Dataset]] = []
    come = threading.Event()

    def take(event: Any) -> tuple[int, Dataset]:  # noqa: ANN401 - pynetdicom's
        reports.append((event.event_type, event.event_information))
        come.set()
        return 0, Dataset()

    entity = AE(title)
    entity.add_requested_context(COMMITMENT)
    handlers: list[Any] = [(evt.EVT_N_EVENT_REPORT, take)]
    server = None
    if port is not None:
        entity.add_supported_context(COMMITMENT, scu_role=True, scp_role=True)
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
    association = entity.associate(
        "127.0.0.1", running.port, ae_title="FIRSTREAD", evt_handlers=[] if port else handlers
    )
    asked = Dataset()
    asked.TransactionUID = "1.2.3.99"
    asked.ReferencedSOPSequence = []
    for sop_class, uid in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, uid
        asked.ReferencedSOPSequence.append(item)
    status, _ = association.send_n_action(asked, 1, COMMITMENT, "1.2.840.10008.1.20.1.1")
    assert status.Status == 0
    assert come.wait(15.0)
    time.sleep(0.05)  # our answer is under way
    association.release()
    if server is not None:
        server.shutdown()
    ((kind, report),) = reports
    assert report.TransactionUID == "1.2.3.99"
    assert kind == (2 if "FailedSOPSequence" in report else 1)
    return report


def test_what_is_kept_is_committed_to_and_what_is_not_is_named_with_its_reason(
    running: Called, tmp_path: Path
) -> None:
    uids = [pydicom.dcmread(path).SOPInstanceUID for path in ct(tmp_path)]
    report = _commit(running, [(CT_STORAGE, uid) for uid in uids])
    assert [one.ReferencedSOPInstanceUID for one in report.ReferencedSOPSequence] == uids
    assert "FailedSOPSequence" not in report
    mixed = _commit(
        running,
        [(CT_STORAGE, uids[0]), (CT_STORAGE, "1.2.3"), ("1.2.840.10008.5.1.4.1.1.4", uids[1])],
    )
    assert [one.ReferencedSOPInstanceUID for one in mixed.ReferencedSOPSequence] == uids[:1]
    assert [one.FailureReason for one in mixed.FailedSOPSequence] == [0x0112, 0x0119]


def test_an_object_that_is_gone_is_not_committed_to(
    running: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uid = pydicom.dcmread(ct(tmp_path)[0]).SOPInstanceUID
    monkeypatch.setattr(running.service.objects, "head", lambda *_, **__: None)
    report = _commit(running, [(CT_STORAGE, uid)])
    assert [one.FailureReason for one in report.FailedSOPSequence] == [0x0112]


def test_a_report_goes_to_where_the_device_is_called(
    running: Called, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    monkeypatch.setattr(commitment, "SECONDS_BETWEEN_TRIES", (0.05, 0.1, 0.1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running.let_in("MODALITY", host="127.0.0.1", port=port)
    uid = pydicom.dcmread(ct(tmp_path)[0]).SOPInstanceUID
    report = _commit(running, [(CT_STORAGE, uid)], "MODALITY", port=port)
    assert [one.ReferencedSOPInstanceUID for one in report.ReferencedSOPSequence] == [uid]
