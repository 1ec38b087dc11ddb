"""Those who ask for the next study together are given what they would be given one after the other."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import update

from serving.audit.opening import open_trail
from serving.errors import ServiceError
from serving.identity.caller import EVERY_SITE, Caller, Role
from serving.reading.claims import Claimed, Claims, _Asked
from serving.reading.terms import ReadingTerms
from serving.store.audit_chain import ActorKind, Who
from serving.store.tables import queue_entries, studies
from serving.store.tenancy import Scope
from tests.serving.store.stored import opened, receive, study

NOW_US = 10**15
MINUTE_US = 60_000_000
N_STUDIES = 8


def reader(name: str, *specialties: str, home: str | None = None, scope: Scope = EVERY_SITE) -> Caller:
    who = Who(ActorKind.PERSON, name)
    return Caller(
        who, frozenset({Role.READER}), scope, home, specialties=frozenset(specialties), may_read=True
    )


ANN, BO, CY = reader("ann"), reader("bo", "dermatology"), reader("cy", home="local")
DEE, EVE = reader("dee", "ct"), reader("eve", scope=Scope.of("local"))
READERS = (DEE, ANN, BO, CY, EVE)


@contextmanager
def queue(folder: Path) -> Iterator[tuple[Claims, dict[str, str]]]:
    """Open a queue in which some studies are held, given back, read twice, or of another modality."""
    folder.mkdir()
    with opened(folder / "q.sqlite") as database:
        with database.writing() as connection:
            keys = {
                f"1.{number}": receive(connection, study(f"1.{number}"), now_us=number).study_key
                for number in range(N_STUDIES)
            }
            connection.execute(update(studies).where(studies.c.uid == "1.2").values(modality="CT"))
            twice = studies.select().where(studies.c.uid.in_(["1.0", "1.4"])).with_only_columns(studies.c.id)
            connection.execute(
                update(queue_entries).where(queue_entries.c.study_id.in_(twice)).values(tier="critical")
            )
        trail = open_trail(database, folder)
        trail.clock = lambda: NOW_US
        terms = ReadingTerms(second_tiers=frozenset({"critical"}), most_claims=2)
        claims = Claims(database, trail, terms)
        claims.claim(keys["1.0"], ANN)
        claims.claim(keys["1.1"], BO)
        claims.release(keys["1.1"], BO)
        trail.clock = lambda: NOW_US - 20 * MINUTE_US
        claims.claim(keys["1.3"], CY)  # expired by now
        trail.clock = lambda: NOW_US
        yield claims, {key: uid for uid, key in keys.items()}


def told(answer: object, uid_of: dict[str, str]) -> object:
    """Give what somebody was given: UID and slot, None, or the code of what stands in the way."""
    if isinstance(answer, Claimed):
        return uid_of[answer.study.key], answer.claim.slot
    return str(answer.problem) if isinstance(answer, ServiceError) else None


def one_after_the_other(claims: Claims, asked: list[Caller]) -> list[object]:
    answers: list[object] = []
    for one in asked:
        try:
            answers.append(claims.next(one))
        except ServiceError as error:
            answers.append(error)
    return answers


def by_kind(asked: list[Caller]) -> list[Caller]:
    """Give those who read the same one behind the other: who came at the same moment has no order."""
    kinds = [(one.scope, one.specialties) for one in asked]
    return sorted(asked, key=lambda one: kinds.index((one.scope, one.specialties)))


@pytest.mark.parametrize("places", list(itertools.permutations(range(5)))[::17], ids=str)
def test_together_each_is_given_what_they_would_be_given_one_after_the_other(
    tmp_path: Path, places: tuple[int, ...]
) -> None:
    asked = [READERS[place] for place in places]
    with queue(tmp_path / "one") as (claims, uid_of):
        one_by_one = one_after_the_other(claims, by_kind(asked))
        expected = {
            one.who.name: told(answer, uid_of) for one, answer in zip(by_kind(asked), one_by_one, strict=True)
        }
    with queue(tmp_path / "other") as (claims, uid_of):
        together = claims._next_of_all([_Asked(one, None) for one in asked])
        got = {one.who.name: told(answer, uid_of) for one, answer in zip(asked, together, strict=True)}
    assert got == expected
    assert got["dee"] in {("1.2", 1), None}  # the one CT, unless somebody who reads everything came first
    assert got["bo"] != ("1.1", 1)  # bo gave it back


def test_who_asks_twice_at_a_moment_gets_two_and_no_more_than_they_may_hold(tmp_path: Path) -> None:
    with queue(tmp_path / "one") as (claims, uid_of):
        answers = [told(one, uid_of) for one in claims._next_of_all([_Asked(EVE, None)] * 3)]
    assert answers == [("1.0", 2), ("1.1", 1), "too-many-claims"]
