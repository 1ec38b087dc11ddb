"""The codes that a diagnosis may have: those of ``codes.csv`` and those of the models' classes.

`concept` is our own name of what several schemes have a code for, so that two readers who mean the same agree
although one uses SNOMED CT and the other ICD-10.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from models.card import ModelCard
from serving.errors import Problem, ServiceError

_FILE = Path(__file__).with_name("codes.csv")


class Scheme(StrEnum):
    """A system of codes, as a model's card names it."""

    SNOMED_CT = "SCT"
    ICD_10 = "ICD-10"
    ICD_11 = "ICD-11"


@dataclass(frozen=True, slots=True)
class CodedDiagnosis:
    """One code with its meaning in both languages."""

    scheme: str
    code: str
    concept: str
    en: str
    zh: str


class ValueSet:
    """The codes that are taken, to be searched in both languages.

    Parameters
    ----------
    entries : iterable of CodedDiagnosis
        Of two with the same scheme and code the first counts.
    classes : mapping of (str, str) to str
        The concept of each model's classes, by the model's name and the class's key.
    """

    def __init__(self, entries: Iterable[CodedDiagnosis], classes: Mapping[tuple[str, str], str]) -> None:
        self._entries: dict[tuple[str, str], CodedDiagnosis] = {}
        for entry in entries:
            self._entries.setdefault((entry.scheme, entry.code), entry)
        self._classes = dict(classes)

    @classmethod
    def of(cls, cards: Iterable[ModelCard]) -> Self:
        """Make the value set of the shipped table and of some models' classes."""
        entries = read_codes()
        known = {(entry.scheme, entry.code): entry.concept for entry in entries}
        classes: dict[tuple[str, str], str] = {}
        for card in cards:
            for spec in card.classes:
                named = (spec.code.scheme, spec.code.value)
                concept = known.get(named, f"{named[0]}:{named[1]}")
                classes[card.name, spec.key] = concept
                if spec.code.scheme in set(Scheme):
                    entries.append(CodedDiagnosis(*named, concept, spec.code.meaning, spec.name_zh))
        return cls(entries, classes)

    def find(self, scheme: str, code: str) -> CodedDiagnosis:
        """Give an entry.

        Raises
        ------
        ServiceError
            `CODE_UNKNOWN` if the code is not in the set.
        """
        entry = self._entries.get((scheme, code))
        if entry is None:
            raise ServiceError(
                Problem.CODE_UNKNOWN,
                f"{code!r} of {scheme} is not among the codes that are taken: look for one by "
                "GET /api/v1/codes?q=, or leave the code out and write the diagnosis as text.",
            )
        return entry

    def get(self, scheme: str, code: str) -> CodedDiagnosis | None:
        """Give an entry, None for a code that is not in the set (any more)."""
        return self._entries.get((scheme, code))

    def concept_of(self, scheme: str | None, code: str | None) -> str | None:
        """Give what a code means across schemes, None where there is no code."""
        if scheme is None or code is None:
            return None
        entry = self._entries.get((scheme, code))
        return f"{scheme}:{code}" if entry is None else entry.concept

    def concept_of_class(self, model: str, key: str) -> str | None:
        """Give what a class of a model means across schemes, None for a model that is not here."""
        return self._classes.get((model, key))

    def classes_of(self, model: str) -> dict[str, str]:
        """Give what each class of a model means, by its key; none for a model that is not here."""
        return {key: concept for (name, key), concept in self._classes.items() if name == model}

    def search(self, words: str, *, scheme: Scheme | None = None, limit: int = 20) -> list[CodedDiagnosis]:
        """Give the entries that a person means by some words of either language, or by a code's beginning.

        Examples
        --------
        >>> [entry.code for entry in ValueSet.of([]).search("basal")]
        ['254701007', '2C32']
        >>> ValueSet.of([]).search("C43.5")[0].zh
        '躯干恶性黑色素瘤'
        """
        asked = words.casefold().split()
        ranked = [
            (rank, place, entry)
            for place, entry in enumerate(self._entries.values())
            if (scheme is None or entry.scheme == scheme) and (rank := _rank(entry, asked)) is not None
        ]
        return [entry for _, _, entry in sorted(ranked, key=lambda one: one[:2])[:limit]]


def read_codes(path: Path = _FILE) -> list[CodedDiagnosis]:
    """Read the table of codes."""
    with path.open(encoding="utf-8", newline="") as lines:
        return [CodedDiagnosis(**row) for row in csv.DictReader(lines)]


def _rank(entry: CodedDiagnosis, asked: list[str]) -> int | None:
    code, text = entry.code.casefold(), f"{entry.en} {entry.zh}".casefold()
    if asked == [code]:
        return 0
    if len(asked) == 1 and code.startswith(asked[0]):
        return 1
    return 2 if all(word in text for word in asked) else None
