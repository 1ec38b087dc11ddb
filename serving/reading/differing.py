"""How a reader and a model differ about a study, from what either said."""

from collections.abc import Sequence
from enum import StrEnum

from serving.reading.codes import ValueSet
from serving.reading.draft_schemas import Verdict
from serving.store.discrepancies import Difference
from serving.store.reads import Decision
from serving.store.scores import StoredScore

_NORMAL = "normal"


class Kind(StrEnum):
    """What is amiss with what the model said of a class."""

    FALSE_ALARM = "false-alarm"
    MISSED = "missed"
    MODIFIED = "modified"


def differences(score: StoredScore, decision: Decision, codes: ValueSet) -> list[Difference]:
    """Give the classes of which the two say different things.

    What the reader says of a class counts; of the others, their diagnosis tells: a class that it means and
    that was not flagged was missed, and one that was flagged and that it does not mean was a false alarm,
    if the diagnosis is one that the model knows or says that all is normal. A model that abstained said
    nothing.
    """
    if score.is_abstained:
        return []
    flagged = _texts(score.operating_point.get("flagged"))
    found = [one for one in (_of_verdict(finding, flagged) for finding in decision.findings) if one]
    judged = {str(finding["key"]) for finding in decision.findings if finding["key"] is not None}
    meaning = codes.concept_of(decision.diagnosis_scheme, decision.diagnosis_code)
    meant = {
        str(line["key"])
        for line in score.probabilities
        if line["is_finding"] and meaning == codes.concept_of_class(score.model_name, str(line["key"]))
    }
    if meaning is not None and (meant or meaning == _NORMAL):
        missed = sorted(meant - judged) if not meant & set(flagged) else []
        found += [Difference(key, Kind.MISSED) for key in missed[:1]]
        found += [Difference(key, Kind.FALSE_ALARM) for key in flagged if key not in meant | judged]
    return list(dict.fromkeys(found))


def _of_verdict(finding: dict[str, object], flagged: Sequence[str]) -> Difference | None:
    key, verdict = str(finding["key"] or ""), finding["verdict"]
    if verdict == Verdict.MISSED:
        return Difference(key, Kind.MISSED)
    if verdict == Verdict.MODIFIED:
        return Difference(key, Kind.MODIFIED)
    return Difference(key, Kind.FALSE_ALARM) if verdict == Verdict.REJECTED and key in flagged else None


def _texts(value: object) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else []
