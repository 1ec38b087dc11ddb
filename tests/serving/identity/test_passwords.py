import threading
import time

import argon2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.identity.password_hashing import NOBODY, PasswordHashing
from serving.identity.password_rules import check_password, normalised
from serving.identity.refused_sign_in import Reason, SignInRefusedError


def _refused(password: str, *names: str, has_second_factor: bool = False) -> Reason | None:
    try:
        check_password(password, names=names, has_second_factor=has_second_factor)
    except SignInRefusedError as error:
        return error.reason
    return None


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("a lantern over the harbour", None),
        ("港口上方有一盏老旧的红灯笼在摇晃着", None),
        ("correcthorsebatterystaple", Reason.PASSWORD_COMMON),
        ("fourteen chars", Reason.PASSWORD_SHORT),
        ("fifteen chars !", None),
        ("passwordpassword", Reason.PASSWORD_COMMON),
        ("PasswordPasswordPassword", Reason.PASSWORD_COMMON),
        ("aaaaaaaaaaaaaaaaaaaa", Reason.PASSWORD_COMMON),
        ("123123123123123123", Reason.PASSWORD_COMMON),
        ("abcdefghijklmnopqrst", Reason.PASSWORD_COMMON),
        ("12345678901234567890", Reason.PASSWORD_COMMON),
        ("98765432109876543210", Reason.PASSWORD_COMMON),
        ("wang.fang.firstread", Reason.PASSWORD_PERSONAL),
        ("wangfangwangfang2", Reason.PASSWORD_PERSONAL),
        ("x y" * 100, Reason.PASSWORD_LONG),
    ],
)
def test_passwords_are_refused_for_what_makes_them_weak_and_nothing_else(
    password: str, reason: Reason | None
) -> None:
    assert _refused(password, "wang.fang", "王芳", "wangfang") is reason


def test_beside_a_second_factor_eight_characters_are_enough() -> None:
    assert _refused("lantern!", has_second_factor=True) is None
    assert _refused("lantern", has_second_factor=True) is Reason.PASSWORD_SHORT
    assert _refused("password1", has_second_factor=True) is Reason.PASSWORD_COMMON


@given(st.text(max_size=300), st.lists(st.text(max_size=20), max_size=3))
def test_whatever_is_typed_is_taken_or_refused_with_a_reason(password: str, names: list[str]) -> None:
    _refused(password, *names)


def test_a_password_is_the_same_from_every_keyboard() -> None:
    hashing = PasswordHashing()
    stored = hashing.hash("cafe\u0301 au lait, sil vous plait")
    assert hashing.is_right(stored, "caf\u00e9 au lait, sil vous plait")
    assert normalised("\uff21\uff22") == "AB"  # full-width letters of a Chinese keyboard


def test_hashes_are_those_of_rfc_9106() -> None:
    stored = PasswordHashing().hash("a lantern over the harbour")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert argon2.extract_parameters(stored) == argon2.extract_parameters(NOBODY)


def test_a_name_that_nobody_has_costs_the_same_work_and_lets_nobody_in() -> None:
    hashing = PasswordHashing()
    assert not hashing.is_right(None, "")
    assert not hashing.is_right(None, "anything")
    assert not hashing.is_right("no hash at all", "anything")
    assert not hashing.is_outdated(NOBODY)


def test_a_flood_is_hashed_two_at_a_time_and_the_rest_is_sent_away() -> None:
    hashing = PasswordHashing(at_once=2, waiting=3)
    at_work: list[int] = []
    most = [0]
    sent_away: list[SignInRefusedError] = []
    is_open = threading.Event()
    turn = threading.Lock()

    def hash_one() -> None:
        try:
            with hashing.turn():
                with turn:
                    at_work.append(1)
                    most[0] = max(most[0], len(at_work))
                is_open.wait(60)
                with turn:
                    at_work.pop()
        except SignInRefusedError as error:
            sent_away.append(error)

    threads = [threading.Thread(target=hash_one) for _ in range(20)]
    for thread in threads:
        thread.start()
    while len(sent_away) < 15:
        time.sleep(0.005)
    is_open.set()
    for thread in threads:
        thread.join()
    assert (most[0], len(sent_away)) == (2, 15)
    assert {(one.reason, one.headers["Retry-After"]) for one in sent_away} == {(Reason.BUSY, "5")}


def test_who_has_waited_too_long_is_told_so() -> None:
    hashing = PasswordHashing(at_once=1, waiting=1, patience_s=0.01)
    with hashing.turn(), pytest.raises(SignInRefusedError) as caught, hashing.turn():
        pass
    assert caught.value.reason is Reason.BUSY
    with hashing.turn():
        pass  # and the place was given back
