"""Finds pictures that stand on both sides of a split, though their groups say that they are strangers."""

from collections import defaultdict
from dataclasses import dataclass

from data.likeness import find_pairs
from training.check.survey import Survey
from training.dataset import LabelledSet


@dataclass(frozen=True, slots=True)
class Leak:
    """Two images of different groups that show one picture and lie in different folds.

    Attributes
    ----------
    first, second : int
        Their rows.
    distance : int
        In how many of 255 frequencies they differ; see :mod:`data.likeness`.
    is_turned : bool
        Whether one is the other turned or mirrored.
    is_same_file : bool
        Whether the files are the same, byte for byte.
    """

    first: int
    second: int
    distance: int
    is_turned: bool
    is_same_file: bool


@dataclass(frozen=True, slots=True)
class Likeness:
    """What looks alike in a set.

    Attributes
    ----------
    leaks : tuple of Leak
        The likest first.
    n_within_fold : int
        How many pairs of different groups lie in one fold, where they do no harm to this split.
    torn_groups : tuple of str
        Groups that stand in more than one fold (an official split may do that).
    """

    leaks: tuple[Leak, ...]
    n_within_fold: int
    torn_groups: tuple[str, ...]


def find_leaks(labelled: LabelledSet, seen: Survey) -> Likeness:
    """Compare every image with every other by their fingerprints and their files' content."""
    pairs: dict[tuple[int, int], Leak] = {}
    rows = seen.readable
    for pair in find_pairs(seen.prints[rows]):
        first, second = int(rows[pair.first]), int(rows[pair.second])
        is_same_file = seen.digests[first] == seen.digests[second]
        pairs[first, second] = Leak(first, second, pair.distance, pair.is_turned, is_same_file)
    images, folds = labelled.images, labelled.folds
    strangers = [leak for leak in pairs.values() if images[leak.first].group != images[leak.second].group]
    leaks = [leak for leak in strangers if folds[leak.first] != folds[leak.second]]
    leaks.sort(key=lambda leak: (not leak.is_same_file, leak.distance, leak.first, leak.second))
    folds_of_group: defaultdict[str, set[int]] = defaultdict(set)
    for image, fold in zip(images, folds, strict=True):
        folds_of_group[image.group].add(int(fold))
    torn = tuple(sorted(group for group, its_folds in folds_of_group.items() if len(its_folds) > 1))
    return Likeness(tuple(leaks), len(strangers) - len(leaks), torn)
