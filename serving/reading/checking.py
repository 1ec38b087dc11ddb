"""Whether what a reader says can be said of a study: codes, findings, key images, what a signature needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serving.errors import Problem, ServiceError
from serving.reading.codes import ValueSet
from serving.reading.draft_schemas import Action, Verdict
from serving.store.reads import Decision


@dataclass(frozen=True, slots=True)
class Shown:
    """What there is to be said something of: frames by image, classes of the score (None: no score)."""

    n_frames: Mapping[str, int]
    class_keys: Sequence[str] | None


def check_decision(decision: Decision, shown: Shown, codes: ValueSet) -> None:
    """Refuse what cannot be meant.

    Raises
    ------
    ServiceError
        `CODE_UNKNOWN`, or `INVALID_REQUEST` with what is wrong and what to do.
    """
    if decision.diagnosis_scheme is not None and decision.diagnosis_code is not None:
        codes.find(decision.diagnosis_scheme, decision.diagnosis_code)
    if decision.interval_days is not None and decision.action != Action.MONITOR:
        raise _invalid("'interval_days' goes with the action 'monitor': leave it out, or monitor.")
    for image in decision.key_images:
        _check_image(image, shown)
    for finding in decision.findings:
        _check_finding(finding, shown, codes)
    named = [finding["key"] for finding in decision.findings if finding["key"] is not None]
    twice = {str(key) for key in named if named.count(key) > 1}
    if twice:
        raise _invalid(f"'findings' names {', '.join(sorted(twice))} twice: one verdict each.")


def check_complete(decision: Decision) -> None:
    """Refuse to let somebody sign what does not say what to do and why.

    Raises
    ------
    ServiceError
        `READ_INCOMPLETE` with all that is missing.
    """
    missing = []
    if decision.action is None:
        missing.append("the action")
    if decision.action == Action.MONITOR and decision.interval_days is None:
        missing.append("after how many days to look again ('interval_days')")
    has_diagnosis = decision.diagnosis_code is not None or bool((decision.diagnosis_text or "").strip())
    if not has_diagnosis and decision.action != Action.REPEAT_IMAGE:
        missing.append("the diagnosis, as a code or as text")
    if missing:
        raise ServiceError(
            Problem.READ_INCOMPLETE,
            f"The read cannot be signed yet, it lacks {' and '.join(missing)}: save it with that.",
        )


def _check_finding(finding: Mapping[str, object], shown: Shown, codes: ValueSet) -> None:
    key, verdict = finding["key"], finding["verdict"]
    if key is not None and key not in (shown.class_keys or ()):
        known = ", ".join(shown.class_keys or ()) or "none: it has no score"
        raise _invalid(
            f"The score that you were shown has no class {str(key)[:64]!r}, it has {known}: what it did not "
            f"look for goes in as {Verdict.MISSED!s} without 'key'."
        )
    coded = finding["diagnosis"]
    if isinstance(coded, Mapping):
        codes.find(str(coded["scheme"]), str(coded["code"]))
    image = finding["image"]
    if isinstance(image, Mapping):
        _check_image(image, shown)
    if verdict == Verdict.MODIFIED and not coded and not str(finding["comment"]).strip():
        raise _invalid(f"{key} is modified, but not into what: give 'diagnosis' or 'comment'.")


def _check_image(image: Mapping[str, object], shown: Shown) -> None:
    uid, frame = str(image["sop_instance_uid"]), image["frame"]
    n_frames = shown.n_frames.get(uid)
    if n_frames is None:
        raise _invalid(f"The study has no image {uid[:128]!r}: choose key images among its own.")
    if not isinstance(frame, int) or not 1 <= frame <= n_frames:
        raise _invalid(f"The image {uid[:128]!r} has frames 1 to {n_frames}, not {frame}.")


def _invalid(detail: str) -> ServiceError:
    return ServiceError(Problem.INVALID_REQUEST, detail)
