"""Every standing of a study with every reader: who may read it in which slot."""

import itertools
from typing import get_args

import pytest

from serving.reading.slots import Obstacle, Slot, Standing, free_slot
from serving.reading_settings import TierName
from serving.worklist.policy import Tier

READERS = ("ann", "bo", "cy")


def standings(*, is_read_twice: bool, is_reopened: bool = False) -> list[Standing]:
    """Give every standing that can come about of a study that waits."""
    found = []
    for signed_1, signed_2, held_1, held_2, held_3 in itertools.product((None, *READERS), repeat=5):
        signed = {slot: one for slot, one in ((1, signed_1), (2, signed_2)) if one}
        held = {slot: one for slot, one in ((1, held_1), (2, held_2), (3, held_3)) if one}
        if not is_read_twice and (signed or {2, 3} & set(held)):
            continue
        if set(signed) & set(held) or (3 in held) != (3 in held and len(signed) == 2):
            continue
        names = [*signed.values(), *held.values()]
        if len(names) == len(set(names)):
            found.append(Standing(True, is_reopened, is_read_twice, signed, held))
    return found


@pytest.mark.parametrize("is_read_twice", [False, True])
@pytest.mark.parametrize("reader", READERS)
def test_nobody_gets_a_slot_that_is_taken_or_reads_against_themselves(
    reader: str, is_read_twice: bool
) -> None:
    for standing in standings(is_read_twice=is_read_twice):
        slot = free_slot(standing, reader)
        if isinstance(slot, Slot):
            assert slot not in standing.held
            assert slot not in standing.signed
            assert reader not in standing.signed.values()
            assert (slot is Slot.ADJUDICATION) == (len(standing.signed) == 2)
            assert is_read_twice or slot is Slot.FIRST


def test_a_study_that_waits_is_never_kept_from_a_reader_who_has_nothing_to_do_with_it() -> None:
    for standing in standings(is_read_twice=True):
        n_open = 1 if len(standing.signed) == 2 else 2 - len(standing.signed)
        is_free = n_open > len(standing.held)
        assert isinstance(free_slot(standing, "dee"), Slot) == is_free, standing


def test_a_study_that_was_read_is_free_for_nobody() -> None:
    assert free_slot(Standing(False, False, True, {1: "ann"}, {}), "bo") is Obstacle.READ


@pytest.mark.parametrize(
    ("signed", "slot"),
    [({1: "ann"}, Slot.FIRST), ({1: "ann", 2: "bo", 3: "cy"}, Slot.ADJUDICATION)],
)
@pytest.mark.parametrize("reader", ["ann", "dee"])
def test_one_that_got_another_image_is_read_again_in_the_slot_that_counts(
    signed: dict[int, str], slot: Slot, reader: str
) -> None:
    assert free_slot(Standing(True, True, True, signed, {}), reader) is slot
    assert free_slot(Standing(True, True, True, signed, {int(slot): "eve"}), reader) is Obstacle.HELD


def test_the_tiers_of_the_settings_are_those_of_the_policy() -> None:
    assert set(get_args(TierName)) == {str(tier) for tier in Tier}
