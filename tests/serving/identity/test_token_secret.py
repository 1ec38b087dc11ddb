"""The form of a token's secret."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.identity.token_secret import PATTERN, PREFIX, hash_of, is_well_formed, new_secret


def test_no_two_secrets_are_the_same_and_each_is_found_in_a_text() -> None:
    secrets = {new_secret() for _ in range(500)}
    assert len(secrets) == 500
    text = "\n".join(f'curl -H "Authorization: Bearer {secret}" https://a' for secret in secrets)
    assert set(PATTERN.findall(text)) == secrets


def test_a_secret_has_238_bits_of_chance() -> None:
    assert re.fullmatch(r"firstread_[0-9A-Za-z]{46}", new_secret())
    assert 62**40 > 2**238


@given(st.integers(min_value=len(PREFIX), max_value=len(PREFIX) + 45), st.sampled_from("0aZ9x"))
def test_a_secret_with_one_letter_wrong_is_told_from_a_true_one(place: int, letter: str) -> None:
    secret = new_secret()
    changed = secret[:place] + letter + secret[place + 1 :]
    assert is_well_formed(secret)
    assert is_well_formed(changed) == (changed == secret)


@pytest.mark.parametrize(
    "text", ["", PREFIX, "Bearer", PREFIX + "é" * 46, "x" + "firstread_" + "a" * 46, new_secret() + "\n"]
)
def test_other_texts_are_no_secrets(text: str) -> None:
    assert not is_well_formed(text)


def test_what_is_kept_is_sha_256() -> None:
    assert hash_of("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(hash_of("\udcff")) == 64
