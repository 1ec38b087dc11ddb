"""Which reads of a study somebody may see: until both readers have signed, neither sees the other's."""

from serving.reading.slots import Slot
from serving.store.reading_state import StudyAtHand
from serving.store.reads import StoredRead


def is_blinded(study: StudyAtHand, reader: str, *, now_us: int) -> bool:
    """Whether what others signed of a study is kept from somebody.

    A study that was signed and still waits has two readers who are not through; who adjudicates sees both.
    """
    if not study.is_waiting or study.is_reopened:
        return False
    claim = study.claim_of(reader)
    return not (claim is not None and claim.slot == Slot.ADJUDICATION and claim.is_held(now_us))


def visible(read: StoredRead, study: StudyAtHand, reader: str, *, now_us: int) -> bool:
    """Whether somebody may see a read: always their own, and what others signed once nobody is blind."""
    if read.reader == reader:
        return True
    return read.signed_at_us is not None and not is_blinded(study, reader, now_us=now_us)
