import threading
from collections.abc import Iterator

import pytest

from serving.identity.refused_sign_in import Reason, SignInRefusedError
from serving.identity.tries import PACES, Pace, Tries, tried_on
from serving.store.database import Database
from tests.serving.store.databases import Place
from tests.serving.store.stored import opened

SECOND = 1_000_000
HERE, ELSEWHERE = "192.0.2.7", "198.51.100.9"


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    with opened(place) as found:
        yield found


def _waits(tries: Tries, things: list[tuple[str, str]], now_us: int) -> int | None:
    try:
        tries.begin(things, now_us=now_us)
    except SignInRefusedError as error:
        return error.seconds if error.reason is Reason.BLOCKED else None
    return None


def test_five_wrong_passwords_are_free_and_then_the_wait_doubles(database: Database) -> None:
    tries, things, now = Tries(database), tried_on("wang", HERE, None), 0
    for _ in range(5):
        assert _waits(tries, things, now) is None
    waited = []
    for _ in range(4):
        seconds = _waits(tries, things, now)
        assert seconds is not None
        waited.append(seconds)
        now += seconds * SECOND
        assert _waits(tries, things, now) is None
    assert waited == [5, 10, 20, 40]


def test_nobody_waits_longer_than_a_quarter_of_an_hour_whatever_happens(database: Database) -> None:
    tries, things, now = Tries(database), tried_on("wang", HERE, None), 0
    longest = 0
    for _ in range(60):
        seconds = _waits(tries, things, now)
        longest = max(longest, seconds or 0)
        now += (seconds or 0) * SECOND
    assert longest == 900
    assert _waits(tries, things, now - 10_000 * 3600 * SECOND) == 900  # the clock was set back


def test_a_flood_from_elsewhere_does_not_keep_a_doctor_from_a_browser_they_used_before(
    database: Database,
) -> None:
    tries = Tries(database)
    for number in range(200):
        _waits(tries, tried_on("wang", f"203.0.113.{number}", None), 0)
    assert _waits(tries, tried_on("wang", ELSEWHERE, None), 0) is not None
    assert _waits(tries, tried_on("wang", ELSEWHERE, "a-known-device"), 0) is None


def test_wrong_passwords_of_one_browser_leave_the_others_of_that_address_alone(database: Database) -> None:
    tries = Tries(database)
    for _ in range(20):
        _waits(tries, tried_on("wang", HERE, None), 0)
    assert _waits(tries, tried_on("wang", HERE, None), 0) is not None
    assert _waits(tries, tried_on("li", HERE, None), 0) is None
    assert _waits(tries, tried_on("wang", ELSEWHERE, None), 0) is None


def test_an_address_that_tries_one_name_after_another_is_slowed_down(database: Database) -> None:
    tries = Tries(database)
    names = iter(range(1000))
    n_tried = next(n for n in names if _waits(tries, tried_on(f"name{n}", HERE, None), 0) is not None)
    assert n_tried == PACES["address"].n_free


def test_a_right_password_takes_back_its_count_but_not_the_others_of_the_address(database: Database) -> None:
    tries = Tries(database)
    for _ in range(4):
        tries.begin(tried_on("wang", HERE, None), now_us=0)
    tries.take_back(tried_on("wang", HERE, None), now_us=0)
    for _ in range(5):
        tries.begin(tried_on("wang", HERE, None), now_us=0)
    mine = tried_on("mine", HERE, None)
    for number in range(41):  # 3 + 5 of wang's stand
        tries.begin(tried_on(f"n{number}", HERE, None), now_us=0)
        tries.begin(mine, now_us=0)
        tries.take_back(mine, now_us=0)
    assert _waits(tries, tried_on("one", HERE, None), 0) is None
    assert _waits(tries, tried_on("more", HERE, None), 0) is not None


def test_an_hour_without_a_try_and_all_is_forgotten(database: Database) -> None:
    tries, things = Tries(database), tried_on("wang", HERE, None)
    for _ in range(4):
        tries.begin(things, now_us=0)
    later = 3601 * SECOND
    for _ in range(5):
        assert _waits(tries, things, later) is None


def test_many_at_the_same_moment_are_counted_before_any_is_checked(database: Database) -> None:
    tries, things = Tries(database), tried_on("wang", HERE, None)
    let_through: list[None] = []

    def try_once() -> None:
        if _waits(tries, things, 0) is None:
            let_through.append(None)

    threads = [threading.Thread(target=try_once) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(let_through) == 5


def test_what_was_typed_as_a_name_is_not_kept(database: Database) -> None:
    Tries(database).begin(tried_on("my password by mistake", HERE, None), now_us=0)
    with database.reading() as connection:
        kept = str(connection.exec_driver_sql("SELECT * FROM sign_in_failures").all())
    assert "mistake" not in kept
    assert HERE in kept


def test_the_neighbours_of_one_ipv6_customer_count_as_one_address() -> None:
    assert tried_on("wang", "2001:db8::1", None) == tried_on("wang", "2001:db8::ffff:1", None)
    assert tried_on("wang", "2001:db8:0:1::1", None) != tried_on("wang", "2001:db8::1", None)


def test_a_pace_never_overflows() -> None:
    assert Pace(1).wait_s(10**9) == 900.0
