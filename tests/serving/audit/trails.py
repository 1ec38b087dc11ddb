"""Events for tests, with times a reader can check."""

from serving.store.audit_chain import Action, ActorKind, AuditEvent, Who

READER = Who(ActorKind.ANONYMOUS, "anonymous", address="192.0.2.7", request_id="r1")


def event(number: int, *, action: Action = Action.VIEWED_STUDY, at_us: int | None = None) -> AuditEvent:
    return AuditEvent(
        action,
        READER,
        "local",
        at_us=1_000_000 * number if at_us is None else at_us,
        study_uid=f"2.25.{number}",
        details={"number": number},
    )
