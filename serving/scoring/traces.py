"""What scoring leaves in the audit trail: each result, and each study that got none."""

from serving.audit.trail import SERVICE
from serving.store.audit_chain import Action, AuditEvent, Result
from serving.store.queue import Placement
from serving.store.scores import StoredScore
from serving.store.studies import StoredStudy
from serving.studies.shown import facts_of_place, facts_of_score


def scored_study(study: StoredStudy, score: StoredScore, placement: Placement) -> AuditEvent:
    """Say what a model said of a study, and where that put it."""
    return AuditEvent(
        Action.SCORED,
        SERVICE,
        study.site,
        score.scored_at_us,
        study_uid=study.uid,
        model=f"{score.model_name}/{score.model_version}",
        model_sha256=score.onnx_sha256,
        policy_version=placement.policy_version,
        details={
            "revision": study.revision,
            "preprocessing_sha256": score.preprocessing_sha256,
            "provider": score.provider,
            **facts_of_place(placement),
            **facts_of_score(score),
        },
    )


def unscored_study(
    study: StoredStudy, placement: Placement, state: str, reason: str, *, at_us: int
) -> AuditEvent:
    """Say that a study got no score, and why."""
    return AuditEvent(
        Action.SCORED,
        SERVICE,
        study.site,
        at_us,
        result=Result.FAILED,
        study_uid=study.uid,
        policy_version=placement.policy_version,
        details={
            "revision": study.revision,
            "state": state,
            "reason": str(reason),
            **facts_of_place(placement),
        },
    )
