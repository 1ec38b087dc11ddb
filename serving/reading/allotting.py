"""Who gets which study where several readers ask for the next one at the same moment.

Each is given the first due study that is free for them, in the order in which they asked: what one after the
other would be given. Only the look at the database is shared.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from serving.reading.slots import Slot, Standing, free_slot, standing_of
from serving.reading.terms import ReadingTerms
from serving.store.reading_state import StudyAtHand


@dataclass(frozen=True, slots=True)
class Given:
    """A study in a slot, for the reader in a place of those who asked."""

    place: int
    study: StudyAtHand
    slot: Slot


@dataclass
class _Free:
    study: StudyAtHand
    standing: Standing


@dataclass
class Allotment:
    """The studies that are free, in the order in which they are due, as they are given away.

    Parameters
    ----------
    studies : sequence of StudyAtHand
        The first due first.
    released : mapping of int to collection of str
        Who gave a study back of late, by the study's number: it is not given to them again at once.
    """

    studies: Sequence[StudyAtHand]
    terms: ReadingTerms
    now_us: int
    released: Mapping[int, frozenset[str]]
    _free: list[_Free] = field(init=False)

    def __post_init__(self) -> None:
        self._free = [_Free(study, self._standing(study)) for study in self.studies]

    def give(self, readers: Iterable[tuple[int, str]]) -> list[Given]:
        """Give to each reader, named with their place, the first study that is free for them, if any is."""
        given = []
        for place, reader in readers:
            for free in self._free:
                slot = self._slot(free, reader)
                if slot is not None:
                    held = {**free.standing.held, int(slot): reader}
                    free.standing = replace(free.standing, held=held)
                    given.append(Given(place, free.study, slot))
                    break
        return given

    def _slot(self, free: _Free, reader: str) -> Slot | None:
        if reader in free.standing.held.values() or reader in self.released.get(free.study.id, ()):
            return None
        slot = free_slot(free.standing, reader)
        return slot if isinstance(slot, Slot) else None

    def _standing(self, study: StudyAtHand) -> Standing:
        return standing_of(study, second_tiers=self.terms.second_tiers, now_us=self.now_us)
