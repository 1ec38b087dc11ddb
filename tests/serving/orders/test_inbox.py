"""From a message to an order, a study's place and an answer; on both databases."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from serving.errors import Problem
from serving.store.arrivals import wait_of
from serving.store.audit_chain import Action
from serving.store.failures import DatabaseUnavailableError
from serving.store.jobs import begin, end
from serving.store.orders import Contradiction, OrderState, orders_of
from serving.store.tenancy import Scope
from tests.serving.orders.messages import PID, omi, orm
from tests.serving.orders.received import SENDER, receiving
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL


def test_an_order_that_is_written_down_is_accepted_and_answered_with_its_number(
    place: Place, tmp_path: Path
) -> None:
    with receiving(place, tmp_path) as here:
        msh, msa = here.take(orm(number="42"))
        assert (msh[2:6], msh[8], msh[10:12]) == (
            ["FIRSTREAD", "NET", "RIS", "HOSP"],
            "ACK^O01^ACK",
            ["P", "2.5"],
        )
        assert msa == ["MSA", "AA", "42"]
        (stored,) = here.orders()
        order = stored.order
        assert (order.priority, order.question, order.procedure) == ("stat", "cough", "CT head")
        assert (order.patient.name, order.patient.identifiers) == (
            "Wang^Xiaodong=王^小东",
            (("HOSP", "P1"),),
        )
        assert (order.sender, order.source, order.state) == ("RIS@HOSP", "hl7", OrderState.ACTIVE)


@pytest.mark.parametrize("is_first", ["order", "study"])
def test_whichever_comes_first_the_study_has_the_order_s_priority_and_question(
    place: Place, tmp_path: Path, is_first: str
) -> None:
    with receiving(place, tmp_path) as here:
        if is_first == "order":
            assert here.code(orm()) == "AA"
        receipt = here.receive("1.2.3")
        if is_first == "study":
            before = here.study(receipt.study_key)
            assert (before.priority, before.clinical_question) == ("routine", None)
            assert here.code(orm()) == "AA"
        found = here.study(receipt.study_key)
        assert (found.priority, found.clinical_question) == ("stat", "cough")
        assert found.placement.due_at_us == 1 + 15 * 60_000_000
        assert "STAT" in found.placement.reason_en.upper()
        assert here.queue.jobs[-1].due_at_us == found.placement.due_at_us


def test_a_scored_study_is_opened_again_and_never_moves_back(place: Place, tmp_path: Path) -> None:
    with receiving(place, tmp_path) as here:
        receipt = here.receive("1.2.3", priority="stat")
        with here.database.writing() as connection:
            assert begin(connection, here.queue.jobs[0], worker="w", now_us=2)
            end(
                connection,
                here.queue.jobs[0],
                worker="w",
                state="scored",
                reason=None,
                problem=None,
                now_us=3,
            )
        before = here.study(receipt.study_key)
        assert here.code(orm(priority="R")) == "AA"
        calm = here.study(receipt.study_key)
        assert (calm.state, calm.placement, calm.priority) == ("scored", before.placement, "stat")
        assert calm.clinical_question == "cough"
        urgent = here.receive("1.2.4", accession="ACC2")
        with here.database.writing() as connection:
            job = here.queue.jobs[-1]
            assert begin(connection, job, worker="w", now_us=2)
            end(connection, job, worker="w", state="scored", reason=None, problem=None, now_us=3)
        assert here.code(orm(accession="ACC2", number="2")) == "AA"
        assert here.study(urgent.study_key).state == "received"


def test_an_order_does_not_end_the_wait_for_more_images(place: Place, tmp_path: Path) -> None:
    with receiving(place, tmp_path) as here:
        receipt = here.receive("1.2.3", quiet_us=60_000_000)
        assert here.code(orm()) == "AA"
        found = here.study(receipt.study_key)
        assert (found.priority, found.state, here.queue.jobs) == ("stat", "received", [])
        with here.database.reading() as connection:
            assert wait_of(connection, found.id) is not None


def test_an_order_of_another_patient_changes_nothing_and_is_shown_as_such(
    place: Place, tmp_path: Path
) -> None:
    with receiving(place, tmp_path) as here:
        first = here.receive("1.2.3", patient="P2")
        assert here.code(orm()) == "AA"
        second = here.receive("1.2.4", patient="P3")
        for receipt in (first, second):
            found = here.study(receipt.study_key)
            assert (found.priority, found.clinical_question) == ("routine", None)
            with here.database.reading() as connection:
                (seen,) = orders_of(connection, scope=LOCAL, study_id=found.id)
            assert (seen.contradiction, seen.counts) == (Contradiction.PATIENT_ID, False)
        (row,) = [row for row in here.rows() if row.action == Action.ORDERED]
        assert (row.study_uid, '"contradiction":"patient-id"' in row.details) == ("1.2.3", True)
        assert second.orders[0].contradiction is Contradiction.PATIENT_ID


def test_another_site_s_order_of_the_same_accession_number_is_not_this_study_s(
    place: Place, tmp_path: Path
) -> None:
    with receiving(place, tmp_path) as here:
        receipt = here.receive("1.2.3")
        found = here.study(receipt.study_key)
        assert here.code(orm()) == "AA"
        with here.database.reading() as connection:
            assert orders_of(connection, scope=Scope.of("elsewhere"), study_id=found.id) == []
            assert len(orders_of(connection, scope=LOCAL, study_id=found.id)) == 1


def test_a_message_that_comes_again_is_answered_again_and_changes_nothing(
    place: Place, tmp_path: Path
) -> None:
    with receiving(place, tmp_path) as here:
        here.receive("1.2.3")
        assert [here.code(orm()) for _ in range(3)] == ["AA"] * 3
        assert here.code(orm(control="XO", priority="R", number="2")) == "AA"
        assert here.code(orm()) == "AA"  # the old one, late: it is known, so it does not undo the change
        (stored,) = here.orders()
        assert (stored.version, stored.order.priority) == (2, "routine")
        assert len([row for row in here.rows() if row.action == Action.ORDERED]) == 2


def test_a_number_that_is_used_anew_is_no_repetition(place: Place, tmp_path: Path) -> None:
    with receiving(place, tmp_path) as here:
        assert here.code(orm()) == "AA"
        assert here.code(orm(accession="ACC2", placer="PL2")) == "AA"
        assert len(here.orders("ACC2")) == 1


def test_a_change_leaves_what_it_does_not_say_and_a_null_empties_it(place: Place, tmp_path: Path) -> None:
    with receiving(place, tmp_path) as here:
        assert here.code(orm()) == "AA"
        assert here.code(orm(control="XO", priority="", question="", number="2")) == "AA"
        (stored,) = here.orders()
        assert (stored.order.priority, stored.order.question) == ("stat", "cough")
        assert here.code(orm(control="XO", question='""', number="3")) == "AA"
        assert here.orders()[0].order.question == ""


def test_a_cancelled_order_stays_with_its_study_and_takes_nothing_back(place: Place, tmp_path: Path) -> None:
    with receiving(place, tmp_path) as here:
        receipt = here.receive("1.2.3")
        assert here.code(orm()) == "AA"
        before = here.study(receipt.study_key)
        assert here.code(orm(control="CA", accession="", patient="PID|1", number="2")) == "AA"
        assert here.orders()[0].order.state is OrderState.REVOKED
        assert here.study(receipt.study_key) == before
        later = here.receive("1.2.4")
        assert here.study(later.study_key).priority == "routine"


@pytest.mark.parametrize("control", ["CA", "DC", "SC"])
def test_what_is_not_known_cannot_be_cancelled(place: Place, tmp_path: Path, control: str) -> None:
    with receiving(place, tmp_path) as here:
        assert here.code(orm(control=control, status="CM")) == "AE 204"
        assert here.orders() == []


def test_a_change_of_an_order_that_never_came_is_a_new_one(place: Place, tmp_path: Path) -> None:
    with receiving(place, tmp_path) as here:
        assert here.code(orm(control="XO")) == "AA"
        assert here.orders()[0].order.priority == "stat"


def test_a_message_with_one_order_that_cannot_be_taken_changes_nothing(place: Place, tmp_path: Path) -> None:
    with receiving(place, tmp_path) as here:
        second = "\r".join(orm(control="CA", accession="", placer="NONE").split("\r")[3:4])
        assert here.code(orm() + second + "\r") == "AE 204"
        assert here.orders() == []


def test_the_most_urgent_of_several_orders_under_one_number_counts(place: Place, tmp_path: Path) -> None:
    with receiving(place, tmp_path) as here:
        assert here.code(orm(priority="R", placer="A", number="1")) == "AA"
        assert here.code(orm(priority="S", placer="B", question="fall", number="2")) == "AA"
        found = here.study(here.receive("1.2.3").study_key)
        assert (found.priority, found.clinical_question) == ("stat", "cough\nfall")
        assert here.code(orm(control="CA", placer="", number="3")) == "AE 204"  # which of the two?


REFUSED = {
    "another type": (orm().replace("ORM^O01^ORM_O01", "ADT^A01"), "AR 200"),
    "another event": (orm().replace("ORM^O01^ORM_O01", "ORM^O02"), "AR 201"),
    "a training": (orm().replace("|P|2.5", "|T|2.5"), "AR 202"),
    "another version": (orm(version="3.0"), "AR 203"),
    "no number": (orm(number=""), "AE 101"),
    "an unknown application": (orm(application="PACS"), "AE 204"),
    "an unknown charset": (orm(charset="EBCDIC"), "AE 103"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_answered_with_the_code_of_the_table(tmp_path: Path, name: str) -> None:
    text, expected = REFUSED[name]
    with receiving(tmp_path / "test.sqlite", tmp_path) as here:
        assert here.code(text) == expected
        assert here.orders() == []
        row = here.rows()[-1]
        assert (row.action, row.result) == (Action.ORDERED, "refused")
        assert f'"hl7-{expected[3:]}"' in row.details


def test_what_is_no_message_is_answered_without_a_number(tmp_path: Path) -> None:
    with receiving(tmp_path / "test.sqlite", tmp_path) as here:
        lines = here.take("GET / HTTP/1.1")
        assert [line[0] for line in lines] == ["MSH", "MSA", "ERR"]
        assert lines[1][1:3] == ["AR", ""]


def test_an_unknown_address_is_not_listened_to(tmp_path: Path) -> None:
    with receiving(tmp_path / "test.sqlite", tmp_path) as here:
        assert here.inbox.knows("192.0.2.200")
        assert here.inbox.knows("::ffff:192.0.2.7")
        assert not here.inbox.knows("198.51.100.1")
        assert here.code(orm(), address="198.51.100.1") == "AE 204"


def test_of_several_senders_that_fit_the_closest_counts(tmp_path: Path) -> None:
    closer = replace(SENDER, facility="HOSP", charset="GBK")
    with receiving(tmp_path / "test.sqlite", tmp_path, SENDER, closer) as here:
        assert here.code(orm(charset="ASCII"), codec="gbk") == "AA"
        assert here.orders()[0].order.patient.name == "Wang^Xiaodong=王^小东"
        assert here.code(orm(charset="ASCII", facility="OTHER", number="2"), codec="gbk") == "AE 102"


def test_a_database_that_is_away_is_answered_by_a_rejection_that_says_try_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving(tmp_path / "test.sqlite", tmp_path) as here:

        def away() -> None:
            raise DatabaseUnavailableError(Problem.DATABASE_UNAVAILABLE, "gone")

        trail = here.inbox.orders.trail
        monkeypatch.setattr(trail, "acting", away)
        assert here.code(orm()) == "AR 207"
        monkeypatch.undo()
        assert here.code(orm()) == "AA"


MODES = [
    ("|", True, ["AA"]),
    ("|", False, ["AE"]),
    ("AL|NE", True, ["CA"]),
    ("AL|NE", False, ["CE"]),
    ("AL|AL", True, ["CA", "AA"]),
    ("NE|AL", True, ["AA"]),
    ("ER|NE", True, []),
    ("ER|NE", False, ["CE"]),
    ("SU|ER", True, ["CA"]),
    ("SU|ER", False, ["AE"]),
    ("NE|NE", True, []),
]


@pytest.mark.parametrize(("asked", "is_good", "expected"), MODES)
def test_in_the_enhanced_mode_the_sender_gets_what_it_asks_for(
    tmp_path: Path, asked: str, is_good: bool, expected: list[str]
) -> None:
    with receiving(tmp_path / "test.sqlite", tmp_path) as here:
        lines = here.take(orm(acknowledge=asked, accession="ACC1" if is_good else ""))
        assert [line[1] for line in lines if line[0] == "MSA"] == expected
        assert len(here.orders()) == is_good


@pytest.mark.parametrize("version", ["2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8"])
def test_our_answers_are_what_another_reader_of_hl7_takes_them_for(tmp_path: Path, version: str) -> None:
    from hl7apy.parser import parse_message

    with receiving(tmp_path / "test.sqlite", tmp_path) as here:
        for text, code in (
            (orm(version=version), "AA"),
            (orm(version=version, control="RF", number="9"), "AE"),
        ):
            (answer,) = here.inbox.take(text.encode(), address="192.0.2.7")
            read = parse_message(answer.decode())
            assert read.msa.msa_1.value == code
            assert read.msa.msa_2.value == read_number(text)
            if code == "AE" and version >= "2.5":
                assert read.err.err_3.err_3_1.value == "103"
                assert read.err.err_3.err_3_3.value == "HL70357"
                assert (read.err.err_2.err_2_1.value, read.err.err_2.err_2_3.value) == ("ORC", "1")
                assert read.err.err_4.value == "E"
            elif code == "AE":
                assert "103&Table value not found&HL70357" in answer.decode()
            assert version < "2.4" or read.validate()  # before, MSH-9 names no structure


def read_number(text: str) -> str:
    return text.split("|")[9]


def test_orders_and_studies_that_come_at_once_find_each_other(place: Place, tmp_path: Path) -> None:
    with receiving(place, tmp_path) as here:
        keys: dict[int, str] = {}
        answers: list[str] = []

        def send(number: int) -> None:
            answers.append(here.code(orm(accession=f"A{number}", placer=f"P{number}", number=str(number))))

        def store(number: int) -> None:
            keys[number] = here.receive(f"1.2.{number}", accession=f"A{number}").study_key

        threads = [
            threading.Thread(target=work, args=[number]) for number in range(8) for work in (send, store)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers == ["AA"] * 8
        assert {here.study(key).priority for key in keys.values()} == {"stat"}


def test_no_row_of_the_trail_names_a_patient(tmp_path: Path) -> None:
    with receiving(tmp_path / "test.sqlite", tmp_path) as here:
        here.receive("1.2.3")
        here.take(orm())
        here.take(orm(control="RF", number="2"))
        here.take(omi())
        kept = "".join(f"{row.details}{row.actor}" for row in here.rows())
        assert not any(word in kept for word in ("Wang", "王", "P1", "cough", "19800203", PID))
