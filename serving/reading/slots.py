"""Which slot of a study is free for a reader.

A study has one read or, where the policy asks for two, a first and a second whose readers see nothing of each
other's, and an adjudication by a third where the two disagree. One that was read and got another image since
is read again in the slot of the read that counts.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from serving.store.reading_state import SignedRead, StudyAtHand


class Slot(IntEnum):
    """As which of its reads a study is read."""

    FIRST = 1
    SECOND = 2
    ADJUDICATION = 3


class Obstacle(StrEnum):
    """Why there is no slot for a reader."""

    READ = "read"
    HELD = "held"
    OWN_READ = "own-read"


@dataclass(frozen=True, slots=True)
class Standing:
    """What the choice depends on; `signed` and `held` name the reader of each slot."""

    is_waiting: bool
    is_reopened: bool
    is_read_twice: bool
    signed: Mapping[int, str]
    held: Mapping[int, str]


def standing_of(study: StudyAtHand, *, second_tiers: Collection[str], now_us: int) -> Standing:
    """Give what the choice of a slot depends on."""
    signed = {read.slot: read.reader for read in study.signed}
    held = {claim.slot: claim.reader for claim in study.claims if claim.is_held(now_us)}
    return Standing(
        study.is_waiting, study.is_reopened, is_read_twice(study, second_tiers=second_tiers), signed, held
    )


def is_read_twice(study: StudyAtHand, *, second_tiers: Collection[str]) -> bool:
    """Whether a study has two readers: by its tier, or because the second has begun."""
    has_second = Slot.SECOND in {claim.slot for claim in study.claims} | {read.slot for read in study.signed}
    return study.tier in second_tiers or has_second


def free_slot(standing: Standing, reader: str) -> Slot | Obstacle:
    """Give the slot in which somebody may read a study that they do not hold, or what stands in the way.

    Examples
    --------
    >>> free_slot(Standing(True, False, False, signed={}, held={}), "li.na")
    <Slot.FIRST: 1>
    >>> free_slot(Standing(True, False, True, signed={1: "li.na"}, held={}), "li.na")
    <Obstacle.OWN_READ: 'own-read'>
    >>> free_slot(Standing(True, False, True, signed={}, held={1: "li.na"}), "wang.fang")
    <Slot.SECOND: 2>
    >>> free_slot(Standing(True, False, True, signed={1: "li.na", 2: "wang.fang"}, held={}), "zhao.min")
    <Slot.ADJUDICATION: 3>
    """
    if not standing.is_waiting:
        return Obstacle.READ
    open_slots = _open_slots(standing)
    if not standing.is_reopened and reader in standing.signed.values():
        return Obstacle.OWN_READ
    return next((slot for slot in open_slots if slot not in standing.held), Obstacle.HELD)


def final_slot(signed: Collection[SignedRead]) -> Slot:
    """Give the slot of the read that counts for a study that was read."""
    return Slot.ADJUDICATION if any(read.slot == Slot.ADJUDICATION for read in signed) else Slot.FIRST


def _open_slots(standing: Standing) -> list[Slot]:
    if standing.is_reopened:
        return [Slot.ADJUDICATION if Slot.ADJUDICATION in standing.signed else Slot.FIRST]
    if {Slot.FIRST, Slot.SECOND} <= set(standing.signed):
        return [Slot.ADJUDICATION]
    # one that was signed and still waits, waits for its second
    both = standing.is_read_twice or bool(standing.signed)
    return [slot for slot in (Slot.FIRST, Slot.SECOND) if slot not in standing.signed][: 2 if both else 1]
