"""What the reads that count say of studies, as labels that a model learns from: keys of its classes."""

from collections.abc import Mapping

from serving.reading.codes import ValueSet
from serving.reading.draft_schemas import Verdict
from serving.store.database import Database
from serving.store.reads import CountedRead, Decision, reads_that_count
from serving.store.tenancy import Scope


def labels_of_reads(database: Database, model: str, codes: ValueSet, *, scope: Scope) -> Mapping[str, str]:
    """Give the label of every study that was read and whose read says one, by the study's key.

    Parameters
    ----------
    database : Database
    model : str
        Whose classes the labels are; its card must be among those of `codes`.
    codes : ValueSet
        Says what codes and classes mean.
    scope : Scope
        Whose studies are meant.
    """
    with database.reading() as connection:
        found = reads_that_count(connection, scope=scope)
    classes = codes.classes_of(model)
    labelled = {one.study_key: label_of(one.decision, _own(one, model), classes, codes) for one in found}
    return {key: label for key, label in labelled.items() if label is not None}


def label_of(
    decision: Decision, is_of_model: bool, classes: Mapping[str, str], codes: ValueSet
) -> str | None:
    """Give the class that a read says, None if it says none, or several.

    The diagnosis counts; without one that a class means, what the reader accepted of the model's own findings
    (`is_of_model` says whether they are this model's).

    Parameters
    ----------
    classes : mapping of str to str
        What each class means, by its key.
    """
    meaning = codes.concept_of(decision.diagnosis_scheme, decision.diagnosis_code)
    meant = [key for key, concept in classes.items() if concept == meaning]
    if not meant and meaning is None and is_of_model:
        meant = [str(one["key"]) for one in decision.findings if one["verdict"] == Verdict.ACCEPTED]
    return meant[0] if len(meant) == 1 and meant[0] in classes else None


def _own(read: CountedRead, model: str) -> bool:
    return read.model_name == model
