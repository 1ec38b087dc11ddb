"""The units of an association: written, read, and refused where they are none."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ

from serving.dimse.errors import GarbledError
from serving.dimse.negotiation import contexts_of, granted, offer_to
from serving.dimse.pdu import TOO_MANY as MANY
from serving.dimse.pdu import (
    Acceptance,
    Answer,
    Grant,
    Proposal,
    Request,
    Roles,
    read_acceptance,
    read_refusal,
    read_request,
    write_acceptance,
    write_refusal,
    write_request,
)
from serving.store.devices import Service

CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT, LOSSLESS, J2K = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90"
REQUEST = Request(
    "FIRSTREAD",
    "CT 1",
    (Proposal(1, CT, (LOSSLESS, EXPLICIT)), Proposal(3, "1.2.3", (EXPLICIT,))),
    {CT: Roles(is_user=True, is_provider=True)},
    16384,
)


def test_a_request_is_read_as_it_was_written() -> None:
    read = read_request(write_request(REQUEST)[6:])
    assert (read.called, read.calling, read.proposals) == ("FIRSTREAD", "CT 1", REQUEST.proposals)
    assert (read.roles, read.max_length, read.protocol) == (REQUEST.roles, 16384, 1)


def test_another_reader_reads_the_same_of_a_request_and_of_its_acceptance() -> None:
    request = A_ASSOCIATE_RQ()
    request.decode(write_request(REQUEST))
    assert (request.called_ae_title, request.calling_ae_title) == ("FIRSTREAD", "CT 1")
    assert [(one.abstract_syntax, list(one.transfer_syntax)) for one in request.presentation_context] == [
        (CT, [LOSSLESS, EXPLICIT]),
        ("1.2.3", [EXPLICIT]),
    ]
    assert request.user_information is not None
    assert request.user_information.maximum_length == 16384
    accepted = A_ASSOCIATE_AC()
    written = write_acceptance(
        Acceptance("FIRSTREAD", "CT 1", granted(REQUEST, offer_to({"store"})), REQUEST.roles, 4096)
    )
    accepted.decode(written)
    assert [(one.context_id, one.result) for one in accepted.presentation_context] == [(1, 0), (3, 3)]
    assert accepted.presentation_context[0].transfer_syntax == LOSSLESS


def test_an_acceptance_and_a_refusal_are_read_as_they_were_written() -> None:
    grants = (Grant(1, Answer.ACCEPTED, J2K), Grant(3, Answer.NO_SUCH_CLASS, EXPLICIT))
    read = read_acceptance(write_acceptance(Acceptance("A", "B", grants, {}, 7))[6:])
    assert (read.grants, read.max_length) == (grants, 7)
    assert read_refusal(write_refusal(MANY)[6:]) == MANY


def test_of_several_transfer_syntaxes_the_first_is_taken_that_the_sender_named() -> None:
    answers = granted(REQUEST, offer_to({Service.STORE}))
    assert answers[0] == Grant(1, Answer.ACCEPTED, LOSSLESS)
    assert answers[1].answer is Answer.NO_SUCH_CLASS
    assert list(contexts_of(REQUEST.proposals, answers)) == [1]
    unknown = Request("A", "B", (Proposal(1, CT, ("1.2.9",)),))
    assert granted(unknown, offer_to({Service.STORE}))[0].answer is Answer.NO_SUCH_SYNTAX


@pytest.mark.parametrize(
    ("services", "is_stored", "is_found"),
    [(set(), False, False), ({"store"}, True, False), ({"query"}, False, True), ({"retrieve"}, True, False)],
)
def test_a_device_is_offered_what_it_may_ask_for(services: set[str], is_stored: bool, is_found: bool) -> None:
    offer = offer_to(services)
    assert (CT in offer, "1.2.840.10008.5.1.4.1.2.2.1" in offer) == (is_stored, is_found)
    assert "1.2.840.10008.1.1" in offer


def test_a_request_with_a_false_length_or_number_is_none() -> None:
    body = write_request(REQUEST)[6:]
    item = body.index(b"\x20\0", 68)  # the first context: type, length, number
    for place, value in (
        (item + 2, b"\xff\xff"),
        (item + 4, b"\x02"),
        (body.index(b"\x50\0", 68) + 2, b"\x7f"),
    ):
        changed = body[:place] + value + body[place + len(value) :]
        with pytest.raises(GarbledError):
            read_request(changed)


def test_a_request_of_nothing_or_of_two_contexts_under_one_number_is_none() -> None:
    for proposals in ((), (Proposal(1, CT, (EXPLICIT,)), Proposal(1, CT, (J2K,))), (Proposal(1, CT, ()),)):
        with pytest.raises(GarbledError):
            read_request(write_request(Request("A", "B", proposals))[6:])


@given(st.binary(max_size=400), st.binary(max_size=40), st.integers(0, 300))
def test_whatever_comes_is_read_or_refused_and_nothing_else(noise: bytes, patch: bytes, place: int) -> None:
    body = bytearray(write_request(REQUEST)[6:])
    body[place : place + len(patch)] = patch
    for data in (noise, bytes(body), bytes(body) + noise, struct.pack(">H", 1) + bytes(66) + noise):
        for read in (read_request, read_acceptance, read_refusal):
            with contextlib.suppress(GarbledError):
                read(data)
