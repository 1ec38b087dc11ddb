"""Says in CARD.md where it answers the two reporting checklists, and which of their questions it cannot.

The questions are put in our words, in the order of the checklists' parts [1]_ [2]_.

References
----------
.. [1] R. Daneshjou et al., "Checklist for evaluation of image-based artificial intelligence reports in
   dermatology: CLEAR Derm", JAMA Dermatology 158 (2022) 90-96.
.. [2] A. S. Tejani et al., "Checklist for Artificial Intelligence in Medical Imaging (CLAIM): 2024 update",
   Radiology: Artificial Intelligence 6 (2024) e240300.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from data.study import Modality
from models.card import ModelCard
from training.markdown import table
from training.statement import Statement

MISSING = "**missing**"


@dataclass(frozen=True, slots=True)
class Item:
    """A question, the heading of the card under which it is answered, or why it is not.

    `elsewhere` is an answer that stands outside the card, or is this short. `field` is the statement's
    field on which the answer rests, if it is one of its makers'.
    """

    part: str
    question: str
    heading: str = ""
    why_not: str = ""
    elsewhere: str = ""
    field: str = ""


CLEAR_DERM: tuple[Item, ...] = (
    Item("data", "kind of image, how and with what it was taken", "Data", field="taken_with"),
    Item("data", "artefacts on the images (hair, ink, rulers)", why_not="not labelled by the source"),
    Item("data", "size and format, what was changed before training", "Use", field="altered"),
    Item("data", "age, sex, body site of the patients", "Data"),
    Item("data", "skin tone, and how it was found", "Groups"),
    Item("data", "where and when the images come from", "Data", field="countries"),
    Item("data", "labels: who gave them, which rest on histology", "Data", field="reference_standard"),
    Item("data", "who and what was left out", "Data", field="excluded"),
    Item("data", "training, validation and test kept apart by patient or lesion", "Data"),
    Item("technique", "network, its training, its versions", "How it was made"),
    Item("technique", "how images of another kind are met", "Novelty"),
    Item("technical assessment", "figures with intervals at a stated threshold", "Operating points"),
    Item("technical assessment", "calibration", "Calibration"),
    Item("technical assessment", "figures by group, bias", "Fairness"),
    Item("technical assessment", "beside published figures", elsewhere="the table in the project's README"),
    Item("technical assessment", "an external test set", why_not="none was at hand"),
    Item("technical assessment", "code, recipe and model are open", "How it was made"),
    Item("application", "intended use, users, conditions it knows", "Use"),
    Item("application", "what happens when it errs", "Use"),
    Item("application", "tried in the clinic, beside readers", why_not="not done"),
)
CLAIM: tuple[Item, ...] = (
    Item("title and introduction", "says that it is AI; role and intended use", "Use"),
    Item("methods: design", "prospective or retrospective; aim", "Data"),
    Item("methods: data", "sources, places, dates", "Data", field="countries"),
    Item("methods: data", "dates of the images", "Data", field="years"),
    Item("methods: data", "who is in it, who was left out", "Data", field="excluded"),
    Item("methods: data", "how the images were taken", "Data", field="taken_with"),
    Item("methods: data", "preprocessing, subsets", "Use"),
    Item(
        "methods: data", "de-identification", elsewhere="by the makers of the set, before they published it"
    ),
    Item("methods: data", "missing values", "Groups"),
    Item("methods: reference standard", "definition, who labelled, how", "Data", field="reference_standard"),
    Item(
        "methods: reference standard",
        "agreement between those who labelled",
        why_not="not published with the labels that are used here",
    ),
    Item("methods: partitions", "how and at what level the data were split", "Data"),
    Item(
        "methods: partitions",
        "why the sample is as large as it is",
        elsewhere="all that was at hand; not planned",
    ),
    Item("methods: model", "network, start, libraries", "How it was made"),
    Item("methods: training", "augmentation, schedule, which weights were chosen", "How it was made"),
    Item("methods: evaluation", "measures, intervals, thresholds", "Operating points"),
    Item("methods: evaluation", "robustness, images of another kind", "Novelty"),
    Item("methods: evaluation", "what the model looks at", "Evidence"),
    Item("methods: evaluation", "test on external data", why_not="none was at hand"),
    Item("results: data", "numbers in each part, demographics", "Data"),
    Item("results: model", "figures with intervals", "Figures on the test folds"),
    Item("results: model", "calibration", "Calibration"),
    Item("results: model", "figures by group", "Groups"),
    Item("results: model", "failures", "Failures"),
    Item("discussion", "limits, bias, where it may not hold", "Limits"),
    Item("other", "where code, recipe and model are", "How it was made"),
    Item("other", "registration and protocol", why_not="there is none"),
    Item("other", "funding", why_not="not stated"),
)


def section(card: ModelCard, statement: Statement, headings: Sequence[str]) -> str:
    """Give the card's part on checklists as Markdown.

    Parameters
    ----------
    card : ModelCard
        CLEAR Derm is answered by models for skin alone.
    statement : Statement
        Of the labelled set.
    headings : sequence of str
        The card's own, against which the answers are held.

    Raises
    ------
    ValueError
        If an answer names a heading that the card does not have.
    """
    is_of_skin = bool({Modality.DERMOSCOPY, Modality.PHOTOGRAPH} & {*card.applies_to.modalities})
    lists = [("CLAIM, 2024 update", CLAIM)]
    if is_of_skin:
        lists.insert(0, ("CLEAR Derm", CLEAR_DERM))
    texts = [
        f"### {name}\n\n" + table(("part", "asked for", "where"), _rows(items, statement, headings))
        for name, items in lists
    ]
    return "\n\n".join(
        ["## Checklists", "The questions are in our words, those without an answer too.", *texts]
    )


def _rows(items: Sequence[Item], statement: Statement, headings: Sequence[str]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for item in items:
        if item.heading and item.heading not in headings:
            raise ValueError(f"the card has no heading {item.heading!r}, which answers {item.question!r}")
        if item.elsewhere:
            where = item.elsewhere
        elif item.why_not:
            where = f"{MISSING}: {item.why_not}"
        elif item.field and not getattr(statement, item.field):
            where = f"{MISSING}: not known of this set"
        else:
            where = item.heading
        rows.append((item.part, item.question, where))
    return rows
