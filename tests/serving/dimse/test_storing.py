"""C-STORE: stored as sent once it is durable, refused with a status that says why, and nobody is hurt."""

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from serving.dimse import calling
from serving.dimse.association import Association
from serving.dimse.calling import Calling
from serving.dimse.classes import EXPLICIT, VERIFICATION
from serving.dimse.commands import Field, Tag, number
from serving.dimse.errors import BrokenLineError, DimseError, RefusedError
from serving.dimse.part10 import data_set_of
from serving.dimse.pdu import Proposal, Request, write_request
from serving.dimse.peer import Terms
from serving.dimse.sending import Sent, send
from serving.errors import Problem, ServiceError
from serving.intake.upload import UploadLimits
from serving.store.audit import read_rows
from serving.store.audit_chain import Action, AuditRow
from serving.store.dicom_images import DicomImage, find_images
from serving.store.quarantine import Sought, list_entries
from serving.store.tenancy import Scope
from tests.serving.dicomweb.sent import STUDY, ct, send_ct
from tests.serving.dimse.lines import data_unit, unit
from tests.serving.dimse.service_by_dicom import QUICK, Called, called
from tests.serving.service_in_process import MEBIBYTE

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
OFFER = (Proposal(1, CT_CLASS, (EXPLICIT,)), Proposal(3, VERIFICATION, (EXPLICIT,)))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Called]:
    with called(tmp_path / "service") as service:
        yield service


def _to(running: Called, title: str = "FIRSTREAD") -> calling.Place:
    return calling.Place(title, "127.0.0.1", running.port)


def _send(running: Called, *paths: Path, title: str = "SENDER") -> list[Sent]:
    return list(send(paths, lambda wanted: Calling(title)(_to(running), wanted)))


def _images(running: Called, study: str = STUDY, site: str = "local") -> list[DicomImage]:
    with running.service.database.reading() as connection:
        return find_images(connection, scope=Scope.of(site), study_uid=study)


def _rows(running: Called, action: Action) -> list[AuditRow]:
    with running.service.database.reading() as connection:
        return [row for row in read_rows(connection) if row.action == action]


def _data_set(content: bytes) -> bytes:
    return b"".join(data_set_of([content]))


def test_what_is_sent_is_kept_byte_for_byte_under_a_head_of_ours(running: Called, tmp_path: Path) -> None:
    paths = ct(tmp_path / "ct")
    assert [sent.status for sent in _send(running, *paths)] == [0, 0, 0]
    kept = {image.instance.sop_instance_uid: image.instance.sha256 for image in _images(running)}
    assert len(kept) == 3
    for path in paths:
        sent = pydicom.dcmread(path)
        stored = b"".join(running.service.objects.get(kept[sent.SOPInstanceUID]))
        assert _data_set(stored) == _data_set(path.read_bytes())
        meta = pydicom.dcmread(io.BytesIO(stored)).file_meta
        assert meta.TransferSyntaxUID == sent.file_meta.TransferSyntaxUID
        assert meta.MediaStorageSOPInstanceUID == sent.SOPInstanceUID
    assert list(running.service.intake.spool.iterdir()) == []


def test_the_trail_says_who_called_and_what_came_by_which_door(running: Called, tmp_path: Path) -> None:
    _send(running, *ct(tmp_path / "ct", n_slices=1))
    (associated,), (received,) = _rows(running, Action.ASSOCIATED), _rows(running, Action.RECEIVED)
    assert (associated.actor_kind, associated.actor, associated.site) == ("device", "SENDER", "local")
    assert (received.actor, received.address, received.study_uid) == ("SENDER", "127.0.0.1", STUDY)
    assert json.loads(received.details)["door"] == "c-store"


def test_the_same_again_is_no_new_image_and_other_bytes_fail_as_a_duplicate(
    running: Called, tmp_path: Path
) -> None:
    (path,) = ct(tmp_path / "ct", n_slices=1)
    running.let_in("OTHER")
    assert [_send(running, path, title=title)[0].status for title in ("SENDER", "SENDER", "OTHER")] == [0] * 3
    (image,) = _images(running)
    first = image.instance.sha256
    changed = pydicom.dcmread(path)
    changed.PatientComments = "another"
    changed.save_as(path)
    (sent,) = _send(running, path)
    assert (sent.status, sent.is_stored) == (0x0111, False)
    (image,) = _images(running)
    assert image.instance.sha256 == first
    with running.service.database.reading() as connection:
        (entry,) = list_entries(connection, Sought(), scope=Scope.of("local"), limit=9)
    assert (entry.reason, entry.arrived.door, entry.arrived.sender) == ("duplicate-uid", "c-store", "SENDER")
    assert entry.object_sha256 == entry.sha256


def test_what_came_by_another_way_already_is_the_same_image(running: Called, tmp_path: Path) -> None:
    paths = send_ct(running.service, tmp_path / "ct")
    assert [sent.status for sent in _send(running, *paths)] == [0, 0, 0]
    assert len(_images(running)) == 3


def test_what_a_device_sends_is_of_its_own_site(running: Called, tmp_path: Path) -> None:
    with running.service.database.writing() as connection:
        from serving.store.sites import add_site

        add_site(connection, "north", "North")
    running.let_in("NORTH_CT", site="north")
    _send(running, *ct(tmp_path / "ct"), title="NORTH_CT")
    assert (len(_images(running)), len(_images(running, site="north"))) == (0, 3)


@pytest.mark.parametrize(
    ("calling_title", "called_title", "reason"),
    [
        ("STRANGER", "FIRSTREAD", "calling"),
        ("SENDER", "ANOTHER", "called"),
        ("PINNED", "FIRSTREAD", "calling"),
    ],
)
def test_who_is_not_on_the_list_is_refused_with_the_reason_and_it_is_written_down(
    running: Called, calling_title: str, called_title: str, reason: str
) -> None:
    running.let_in("PINNED", fingerprint="ab" * 32)
    with pytest.raises(RefusedError, match=f"does not know the {reason} AE title"):
        Calling(calling_title)(_to(running, called_title), OFFER)
    (row,) = _rows(running, Action.ASSOCIATED)
    assert (row.result, row.actor) == ("refused", calling_title)


def test_a_device_may_have_a_title_of_ours_for_itself(running: Called) -> None:
    running.let_in("OLD_CT", called_title="ARCHIVE")
    Calling("OLD_CT")(_to(running, "ARCHIVE"), OFFER).release()
    with pytest.raises(RefusedError):
        Calling("OLD_CT")(_to(running), OFFER)


def test_who_may_not_store_is_offered_nothing_of_it(running: Called, tmp_path: Path) -> None:
    running.let_in("VIEWER", services=frozenset({"query"}))
    with pytest.raises(RefusedError, match="accepts nothing"):
        _send(running, *ct(tmp_path / "ct"), title="VIEWER")
    running.let_in("GETTER", services=frozenset({"retrieve"}))
    assert {sent.status for sent in _send(running, *ct(tmp_path / "ct"), title="GETTER")} == {0x0124}
    assert _images(running) == []


def _store_raw(
    association: Association, data: bytes, *, uid: str = "1.2.3", sop_class: str = CT_CLASS
) -> int:
    context = next(one for one in association.contexts.values() if one.abstract == CT_CLASS)
    command: dict[Tag, str | int] = {
        Tag.FIELD: Field.STORE,
        Tag.MESSAGE_ID: association.next_id(),
        Tag.PRIORITY: 0,
        Tag.AFFECTED_CLASS: sop_class,
        Tag.AFFECTED_INSTANCE: uid,
    }
    association.send(context, command, [data])
    answer = association.receive()
    assert answer is not None
    return number(answer.command, Tag.STATUS)


def test_what_cannot_be_read_is_refused_and_the_association_goes_on(running: Called, tmp_path: Path) -> None:
    (path,) = ct(tmp_path / "ct", n_slices=1)
    data = _data_set(path.read_bytes())
    association = Calling("SENDER")(_to(running), OFFER)
    noise = bytes(range(256)) * 20
    assert _store_raw(association, noise) == 0xC000
    assert _store_raw(association, b"") == 0x0122  # no pixels
    assert _store_raw(association, data[: len(data) // 2]) == 0xC000
    assert _store_raw(association, data, uid="") == 0x0115
    assert _store_raw(association, data, uid=pydicom.dcmread(path).SOPInstanceUID) == 0
    association.release()
    assert len(_images(running)) == 1


def test_an_instance_that_is_too_long_is_heard_out_and_refused(tmp_path: Path) -> None:
    with called(tmp_path / "service", terms=replace(QUICK, most_bytes_of_an_instance=100_000)) as running:
        association = Calling("SENDER")(_to(running), OFFER)
        assert _store_raw(association, bytes(3_000_000)) == 0xA700
        (path,) = ct(tmp_path / "ct", n_slices=1)
        uid = pydicom.dcmread(path).SOPInstanceUID
        assert _store_raw(association, _data_set(path.read_bytes()), uid=uid) == 0
        association.release()


def test_a_full_disk_is_said_and_what_came_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with called(tmp_path / "service", limits=UploadLimits(MEBIBYTE, 9, 2**62)) as running:
        assert _send(running, *ct(tmp_path / "ct", n_slices=2))[1].status == 0xA700
    with called(tmp_path / "other") as running:

        def fail(*_: object, **__: object) -> None:
            raise ServiceError(Problem.STORAGE_UNAVAILABLE, "gone")

        monkeypatch.setattr(running.service.objects, "take", fail)
        assert _send(running, *ct(tmp_path / "ct", n_slices=1))[0].status == 0xA700
        assert _images(running) == []


def test_an_association_cut_off_in_mid_file_leaves_nothing_and_others_go_on(
    running: Called, tmp_path: Path
) -> None:
    (path,) = ct(tmp_path / "ct", n_slices=1)
    for ending in (unit(7, bytes(4)), b"", b"garbage" * 9):
        raw = _raw(running)
        command = b"".join(
            data_unit((3, piece)) for piece in [_command(pydicom.dcmread(path).SOPInstanceUID)]
        )
        raw.sendall(command + data_unit((0, _data_set(path.read_bytes())[:500])) + ending)
        raw.close()
    _until(lambda: running.listener.entity.n_associations == 0)
    assert _images(running) == []
    assert list(running.service.intake.spool.iterdir()) == []
    assert _send(running, path)[0].status == 0


def _command(uid: str) -> bytes:
    from serving.dimse.commands import write_command

    command: dict[Tag, str | int] = {
        Tag.FIELD: Field.STORE,
        Tag.MESSAGE_ID: 1,
        Tag.PRIORITY: 0,
        Tag.AFFECTED_CLASS: CT_CLASS,
        Tag.AFFECTED_INSTANCE: uid,
    }
    return write_command(command, has_data=True)


def _raw(running: Called, title: str = "SENDER") -> socket.socket:
    """Open an association by hand."""
    raw = socket.create_connection(("127.0.0.1", running.port), timeout=10.0)
    raw.sendall(write_request(Request("FIRSTREAD", title, OFFER)))
    head = raw.recv(6)
    assert head[0] == 2, head
    n_left = int.from_bytes(head[2:], "big")
    while n_left:
        n_left -= len(raw.recv(n_left))
    return raw


def _until(holds: "object", seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not holds():  # type: ignore[operator]  # a callable
        assert time.monotonic() < end, "it never came to hold"
        time.sleep(0.01)


@pytest.mark.parametrize(
    "noise",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(300),
        b"\x01\0\xff\xff\xff\xff",
        b"\x04\0\0\0\0\x06" * 20,
        b"\x16\x03\x01\x02\0\x01",
    ],
)
def test_what_is_no_dicom_is_aborted_at_once_and_hurts_nobody(running: Called, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", running.port), timeout=10.0) as raw:
        raw.sendall(noise)
        answer = b""
        with contextlib.suppress(ConnectionResetError):  # what was not read when it was closed
            raw.shutdown(socket.SHUT_WR)
            while piece := raw.recv(100):
                answer += piece
    assert answer[:1] in {b"\x07", b""}
    Calling("SENDER")(_to(running), OFFER).release()


def test_two_hundred_senders_at_once_are_served_or_told_to_come_again(tmp_path: Path) -> None:
    terms = replace(QUICK, most_associations=40, most_of_a_device=40)
    with called(tmp_path / "service", terms=terms) as running:
        (path,) = ct(tmp_path / "ct", n_slices=1)
        outcomes: list[str] = []

        def one() -> None:
            while True:
                try:
                    (sent,) = _send(running, path)
                except RefusedError:  # it has as many as it takes
                    outcomes.append("refused")
                    time.sleep(0.05)
                except BrokenLineError:  # not even heard: so many are at the door
                    outcomes.append("not heard")
                    time.sleep(0.05)
                else:
                    outcomes.append(str(sent.status))
                    return

        threads = [threading.Thread(target=one) for _ in range(200)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60.0)
        assert outcomes.count("0") == 200
        assert set(outcomes) <= {"0", "refused", "not heard"}
        assert len(_images(running)) == 1
        _until(lambda: running.listener.entity.n_associations == 0)


def test_who_connects_and_says_nothing_or_trickles_is_let_go(tmp_path: Path) -> None:
    impatient = replace(QUICK, patience=replace(QUICK.patience, handshake_s=0.3, idle_s=0.3))
    with called(tmp_path / "service", terms=impatient) as running:
        silent = socket.create_connection(("127.0.0.1", running.port), timeout=10.0)
        idle = _raw(running)
        for raw in (silent, idle):
            received = b""
            while piece := raw.recv(100):
                received += piece
            assert received[:1] == b"\x07"
            raw.close()
        _until(lambda: running.listener.entity.n_associations == 0)


def test_a_stop_ends_those_that_wait_and_finishes_what_is_under_way(tmp_path: Path) -> None:
    with called(tmp_path / "service") as running:
        waiting = Calling("SENDER")(_to(running), OFFER)
        running.listener.stop(5.0)
        with pytest.raises(DimseError):
            waiting.receive()
        waiting.close()
        with pytest.raises(BrokenLineError):
            Calling("SENDER")(_to(running), OFFER)
        assert not running.listener.is_listening


def test_an_echo_is_answered_and_another_operation_is_not(running: Called) -> None:
    association = Calling("SENDER")(_to(running), OFFER)
    echo = next(one for one in association.contexts.values() if one.abstract == VERIFICATION)
    for field, status in ((Field.ECHO, 0), (Field.FIND, 0x0211)):
        association.send(echo, {Tag.FIELD: field, Tag.MESSAGE_ID: 1, Tag.AFFECTED_CLASS: VERIFICATION})
        answer = association.receive()
        assert answer is not None
        assert number(answer.command, Tag.STATUS) == status
    association.release()


def test_no_device_takes_all_the_associations_there_are(tmp_path: Path) -> None:
    terms = Terms(most_associations=5, most_of_a_device=2, patience=QUICK.patience)
    with called(tmp_path / "service", terms=terms) as running:
        running.let_in("OTHER")
        two = [Calling("SENDER")(_to(running), OFFER) for _ in range(2)]
        with pytest.raises(RefusedError, match="as many associations as it takes"):
            Calling("SENDER")(_to(running), OFFER)
        Calling("OTHER")(_to(running), OFFER).release()
        for one in two:
            one.release()
        _until(lambda: running.listener.entity.n_associations == 0)
        Calling("SENDER")(_to(running), OFFER).release()
