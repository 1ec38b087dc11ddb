"""Messages on a line: whole, in pieces, cut off, too slow, and not of the protocol."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.dimse.association import Association
from serving.dimse.commands import Field, Tag, answer_to, read_command, write_command
from serving.dimse.errors import BrokenLineError, DimseError, GarbledError, TooSlowError
from serving.dimse.line import Patience
from serving.intake.pace import Pace
from tests.serving.dimse.lines import CONTEXT, CT, data_unit, ends, unit

STORE: dict[Tag, str | int] = {
    Tag.FIELD: Field.STORE,
    Tag.MESSAGE_ID: 7,
    Tag.PRIORITY: 0,
    Tag.AFFECTED_CLASS: CT,
    Tag.AFFECTED_INSTANCE: "1.2.3",
}
WITH_DATA = write_command(STORE, has_data=True)
ALONE = write_command({Tag.FIELD: Field.ECHO, Tag.MESSAGE_ID: 1}, has_data=False)
PATIENT = Patience(5.0, 5.0, Pace(start_s=5.0))


def _read_whole(association: Association) -> tuple[dict[Tag, str | int], bytes]:
    message = association.receive()
    assert message is not None
    return message.command, association.whole_data_of(message, at_most=10_000_000)


def test_a_command_is_read_as_it_was_written() -> None:
    read = read_command(WITH_DATA)
    assert {tag: read[tag] for tag in STORE} == STORE


def test_an_answer_names_what_it_answers() -> None:
    answer = answer_to(STORE, 0xB000, "x" * 99, N_FAILED=3)
    read = read_command(write_command(answer, has_data=False))
    assert (read[Tag.FIELD], read[Tag.ANSWERED_ID], read[Tag.STATUS]) == (0x8001, 7, 0xB000)
    assert (read[Tag.AFFECTED_INSTANCE], read[Tag.COMMENT], read[Tag.N_FAILED]) == ("1.2.3", "x" * 64, 3)


def test_a_message_comes_whole_however_it_is_cut() -> None:
    data = bytes(range(256)) * 10
    cut = [
        data_unit((1, WITH_DATA[:10])) + data_unit((3, WITH_DATA[10:])),
        data_unit((1, WITH_DATA[:1]), (3, WITH_DATA[1:]), (0, data[:5])),
        data_unit((3, WITH_DATA)) + data_unit((0, b""), (0, data[:5])),
    ]
    for first in cut[:1]:
        with ends(patience=PATIENT) as (association, theirs):
            theirs.sendall(
                first + data_unit((0, data[:100]), (0, data[100:200])) + data_unit((2, data[200:]))
            )
            assert _read_whole(association)[1] == data
    for first in cut[1:]:
        with ends(patience=PATIENT) as (association, theirs):
            theirs.sendall(first + data_unit((2, data[5:])))
            assert _read_whole(association)[1] == data


def test_a_message_comes_byte_by_byte() -> None:
    with ends(patience=PATIENT) as (association, theirs):
        sent = data_unit((3, WITH_DATA)) + data_unit((2, b"abc"))

        def trickle() -> None:
            for place in range(len(sent)):
                theirs.sendall(sent[place : place + 1])

        sender = threading.Thread(target=trickle)
        sender.start()
        assert _read_whole(association)[1] == b"abc"
        sender.join()


@pytest.mark.parametrize("longest", [64, 1024, 16384, 0])
def test_what_one_side_sends_the_other_reads_in_units_that_it_takes(longest: int) -> None:
    data = bytes(70_001)
    with ends(peer_max_length=longest, patience=PATIENT) as (ours, theirs):

        def send() -> None:
            ours.send(CONTEXT, STORE, [data[:3], b"", data[3:]])
            ours.close()

        sender = threading.Thread(target=send)
        sender.start()
        received = bytearray()
        while piece := theirs.recv(65536):
            received += piece
        sender.join()
    with ends(patience=PATIENT) as (reader, writer):
        forwarder = threading.Thread(target=lambda: writer.sendall(received))
        forwarder.start()
        assert _read_whole(reader)[1] == data
        forwarder.join()
    place, longest_seen = 0, 0
    while place < len(received):
        n_bytes = int.from_bytes(received[place + 2 : place + 6], "big")
        longest_seen = max(longest_seen, n_bytes)
        place += 6 + n_bytes
    assert longest_seen <= (longest or 128 * 1024)


def test_an_empty_data_set_is_one_fragment_that_is_the_last() -> None:
    with ends(patience=PATIENT) as (ours, theirs), ends(patience=PATIENT) as (reader, writer):
        ours.send(CONTEXT, STORE, [])
        writer.sendall(theirs.recv(65536))
        assert _read_whole(reader)[1] == b""


def test_a_release_is_consented_to_between_messages_alone() -> None:
    with ends(patience=PATIENT) as (association, theirs):
        theirs.sendall(data_unit((3, ALONE)) + unit(5, bytes(4)))
        assert association.receive() is not None
        assert association.receive() is None
        assert theirs.recv(100) == unit(6, bytes(4))
    with ends(patience=PATIENT) as (association, theirs):
        theirs.sendall(data_unit((3, WITH_DATA)) + unit(5, bytes(4)))
        with pytest.raises(GarbledError):
            _read_whole(association)


@pytest.mark.parametrize(
    ("what", "sent"),
    [
        ("a kind that there is not", unit(9, bytes(4))),
        ("a request within an association", unit(1, bytes(100))),
        ("a fragment longer than its unit", unit(4, b"\0\0\xff\xff\1\3" + ALONE)),
        ("a fragment without a body", unit(4, b"\0\0\0\1\1\3")),
        ("a unit with less than a head", unit(4, b"\0\0\0")),
        ("a data set without a command", data_unit((2, b"abc"))),
        ("a context that was not accepted", data_unit((3, ALONE), context=5)),
        ("a command of another group", data_unit((3, b"\x08\0\0\0\0\0\0\0"))),
        ("a command that is cut off", data_unit((3, ALONE[:-3]))),
        ("a command that asks for nothing", data_unit((3, b""))),
        ("a command without an end", data_unit((1, bytes(8) * 3000))),
        ("a unit longer than agreed on", unit(4, bytes(20_000))),
        ("an abort of a gigabyte", b"\x07\0\x40\0\0\0"),
    ],
)
def test_what_is_not_the_protocol_ends_the_association_at_once(what: str, sent: bytes) -> None:
    del what
    with ends(max_length=16384, patience=PATIENT) as (association, theirs):
        sender = threading.Thread(target=lambda: theirs.sendall(sent))
        sender.start()
        with pytest.raises(GarbledError):
            association.receive()
        association.close()
        sender.join()


def test_an_abort_and_a_cut_line_are_told() -> None:
    for last in (unit(7, bytes(4)), b""):
        with ends(patience=PATIENT) as (association, theirs):
            theirs.sendall(data_unit((3, WITH_DATA)) + data_unit((0, b"abc")) + last)
            theirs.shutdown(1)
            with pytest.raises(BrokenLineError):
                _read_whole(association)


def test_who_says_nothing_or_trickles_is_not_waited_for() -> None:
    with ends() as (association, theirs):
        with pytest.raises(TooSlowError):
            association.receive()
        theirs.sendall(data_unit((3, WITH_DATA)) + data_unit((0, b"abc"))[:-1])
        with pytest.raises(TooSlowError):
            _read_whole(association)


def test_who_takes_nothing_is_not_waited_for() -> None:
    with ends() as (association, _theirs), pytest.raises(TooSlowError):
        association.send(CONTEXT, STORE, (bytes(100_000) for _ in range(1000)))


def test_a_cancel_is_seen_without_waiting() -> None:
    cancel = write_command({Tag.FIELD: Field.CANCEL, Tag.ANSWERED_ID: 7}, has_data=False)
    with ends(patience=PATIENT) as (association, theirs):
        assert not association.is_cancelled(7)
        theirs.sendall(data_unit((3, cancel)))
        assert association.is_cancelled(7)
        theirs.sendall(data_unit((3, ALONE)))
        with pytest.raises(GarbledError):
            association.is_cancelled(7)


@given(st.binary(max_size=300))
def test_whatever_comes_is_a_message_or_an_error_of_the_protocol(noise: bytes) -> None:
    for sent in (noise, data_unit((3, noise)), data_unit((3, WITH_DATA)) + noise):
        with ends(max_length=4096, patience=PATIENT) as (association, theirs):
            theirs.sendall(sent)
            theirs.shutdown(1)
            try:
                while (message := association.receive()) is not None:
                    association.whole_data_of(message, at_most=1000)
            except DimseError:
                pass
