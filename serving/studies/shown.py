"""What of a study a person was shown, as the audit trail keeps it: no name, no picture, no free text."""

from collections.abc import Mapping, Sequence

from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.orders import StudyOrder
from serving.store.queue import Placement
from serving.store.scores import StoredScore
from serving.store.studies import StoredStudy


def shown_study(
    study: StoredStudy,
    score: StoredScore | None,
    orders: Sequence[StudyOrder] = (),
    *,
    n_priors: int,
    who: Who,
    at_us: int,
) -> AuditEvent:
    """Say that a person saw a study, its place, result and key images, and how many others there are."""
    return AuditEvent(
        Action.VIEWED_STUDY,
        who,
        study.site,
        at_us,
        study_uid=study.uid,
        model=None if score is None else f"{score.model_name}/{score.model_version}",
        model_sha256=None if score is None else score.onnx_sha256,
        policy_version=study.placement.policy_version,
        details={
            "state": study.state,
            "revision": study.revision,
            "images": len(study.instances),
            "priors": n_priors,
            **facts_of_place(study.placement),
            **({"orders": [one.stored.key for one in orders]} if orders else {}),
            "score": None if score is None else facts_of_score(score),
        },
    )


def facts_of_place(placement: Placement) -> Mapping[str, object]:
    """Give what a place in the queue says."""
    return {"tier": placement.tier, "due_at_us": placement.due_at_us}


def facts_of_score(score: StoredScore) -> Mapping[str, object]:
    """Give what a score says: probabilities, what is flagged by which operating point, key images."""
    return {
        "scored_at_us": score.scored_at_us,
        "probabilities": {str(line["key"]): line["probability"] for line in score.probabilities},
        "operating_point": score.operating_point.get("name"),
        "flagged": score.operating_point.get("flagged"),
        "novelty": score.novelty,
        "quality": score.quality,
        "is_abstained": score.is_abstained,
        "key_images": [[image.sop_instance_uid, image.frame_number] for image in score.key_images],
    }
