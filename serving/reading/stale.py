"""What somebody is told whose picture of things is out of date: what is so now, and what to do."""

from collections.abc import Mapping

from serving.errors import Problem, ServiceError
from serving.reading.decided import said
from serving.reading.draft_schemas import SignRequest
from serving.store.reading_state import StudyAtHand
from serving.store.reads import StoredRead
from serving.store.times import from_us


def draft_is_stale(draft: StoredRead | None, after: int | None) -> ServiceError:
    """Say that another save came first, or that there is none such; gives the draft as it is kept."""
    if draft is None:
        return ServiceError(
            Problem.VERSION_STALE,
            f"There is no draft of version {after} (any more), it was signed perhaps: look at the study's "
            "reads, then save without If-Match.",
            members={"current": None},
        )
    seen = "none" if after is None else f"version {after}"
    return ServiceError(
        Problem.VERSION_STALE,
        f"The draft is of version {draft.version} by now, and you know of {seen}, saved from another window "
        f"perhaps: take over what you need from 'current', then save with If-Match: \"{draft.version}\".",
        headers={"ETag": f'"{draft.version}"'},
        members={"current": plain(draft)},
    )


def is_as_seen(study: StudyAtHand, request: SignRequest) -> bool:
    """Whether a study is what its reader says that they were shown.

    A study of which more images are waited for keeps its revision when they come, so images count as well.
    """
    seen = request.seen_revision, request.seen_images, request.seen_score
    return seen == (study.revision, study.n_images, study.score_id)


def study_has_changed(study: StudyAtHand, request: SignRequest) -> ServiceError:
    """Say what of a study changed since its reader was shown it."""
    changes = []
    if request.seen_images != study.n_images:
        changes.append(f"it has {study.n_images} images, you saw {request.seen_images}")
    elif request.seen_revision != study.revision:
        changes.append(f"it was opened again (revision {study.revision}, you saw {request.seen_revision})")
    if request.seen_score != study.score_id:
        known = "none" if request.seen_score is None else f"score {request.seen_score}"
        now = "there is none now" if study.score_id is None else f"it is score {study.score_id}"
        changes.append(f"it was scored anew ({now}, you saw {known})")
    return ServiceError(
        Problem.STUDY_CHANGED,
        f"The study is not what you were shown: {' and '.join(changes)}. Look at it again, then sign with "
        "'seen_revision', 'seen_images' and 'seen_score' as they are now; your draft is kept.",
        members={
            "revision": study.revision,
            "images": study.n_images,
            "score": study.score_id,
            "state": study.state,
        },
    )


def plain(draft: StoredRead) -> Mapping[str, object]:
    """Give a draft in plain JSON values, as it would be sent."""
    decision = draft.decision
    coded = None
    if decision.diagnosis_code is not None:
        coded = {"scheme": decision.diagnosis_scheme, "code": decision.diagnosis_code}
    return {
        "version": draft.version,
        "saved_at": from_us(draft.saved_at_us).isoformat(),
        "save_key": draft.save_key,
        "seen_score": draft.score_id,
        "diagnosis": coded,
        **said(decision),
    }
