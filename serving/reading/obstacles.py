"""Why a study is not given to a reader, in sentences that say what to do."""

from collections.abc import Sequence

from serving.errors import Problem, ServiceError
from serving.reading.slots import Obstacle, free_slot, standing_of
from serving.reading.terms import ReadingTerms
from serving.store.claims import HeldStudy
from serving.store.reading_state import StudyAtHand
from serving.store.times import from_us


def no_study(key: str) -> ServiceError:
    """Say that there is no such study, which is the same for one of a site that is not the caller's."""
    return ServiceError(Problem.NOT_FOUND, f"There is no study {key!r}.")


def obstructed(study: StudyAtHand, reader: str, *, terms: ReadingTerms, now_us: int) -> ServiceError:
    """Say what keeps a reader off a study; names who holds it, and until when."""
    obstacle = free_slot(standing_of(study, second_tiers=terms.second_tiers, now_us=now_us), reader)
    if obstacle is Obstacle.READ:
        return ServiceError(
            Problem.STUDY_READ, "This study is read and signed: take the next one, or amend your own read."
        )
    if obstacle is Obstacle.OWN_READ:
        return ServiceError(
            Problem.STUDY_HELD,
            "You have read this study; its other read is for somebody else: take the next.",
        )
    held = [claim for claim in study.claims if claim.is_held(now_us)]
    holders = [
        {"slot": claim.slot, "reader": claim.reader, "expires_at": from_us(claim.expires_at_us).isoformat()}
        for claim in held
    ]
    named = " and ".join(
        f"{claim.reader}, until {from_us(claim.expires_at_us):%H:%M:%S} UTC" for claim in held
    )
    return ServiceError(
        Problem.STUDY_HELD,
        f"This study is read by {named or 'somebody else'}: take the next one, or have a supervisor take it "
        "over.",
        members={"holders": holders},
    )


def kept_from(site: str) -> ServiceError:
    """Say that the studies of a site are read elsewhere."""
    return ServiceError(
        Problem.READ_ELSEWHERE,
        f"Studies of {site} are read by those of other sites: leave this one to them.",
    )


def too_many(held: Sequence[HeldStudy], most: int) -> ServiceError:
    """Say that a reader holds as many studies as one may, and which."""
    return ServiceError(
        Problem.TOO_MANY_CLAIMS,
        f"You hold {len(held)} studies, and {most} is the most: sign or release one first.",
        members={"holding": [one.study_key for one in held]},
    )
