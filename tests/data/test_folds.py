"""Folds: groups whole, classes even, the order of rows without meaning."""

import hashlib
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from data.errors import FoldError
from data.folds import check_groups, make_folds, split_sha256
from data.sources import ham10000


@st.composite
def labelled_groups(draw: st.DrawFn) -> tuple[list[str], list[str], int]:
    """Groups of one to four rows with one label each, every label in at least three groups."""
    labels: list[str] = []
    groups: list[str] = []
    for label in draw(st.lists(st.sampled_from("abcd"), min_size=1, max_size=4, unique=True)):
        for number, n_rows in enumerate(draw(st.lists(st.integers(1, 4), min_size=3, max_size=12))):
            labels += [label] * n_rows
            groups += [f"{label}{number}"] * n_rows
    return labels, groups, draw(st.integers(0, 2**32))


@given(labelled_groups())
def test_no_group_is_torn_and_each_fold_sees_each_class(case: tuple[list[str], list[str], int]) -> None:
    labels, groups, seed = case

    folds = make_folds(labels, groups, n_folds=3, seed=seed)

    check_groups(folds, groups)
    for fold in range(3):
        assert {label for label, own in zip(labels, folds, strict=True) if own == fold} == set(labels)


@given(labelled_groups(), st.randoms())
def test_rows_in_another_order_get_the_same_folds(
    case: tuple[list[str], list[str], int], chance: Random
) -> None:
    labels, groups, seed = case
    order = list(range(len(labels)))
    chance.shuffle(order)

    folds = make_folds(labels, groups, n_folds=3, seed=seed)
    shuffled = make_folds([labels[i] for i in order], [groups[i] for i in order], n_folds=3, seed=seed)

    assert shuffled.tolist() == folds[order].tolist()


@settings(max_examples=30)
@given(st.integers(2, 6), st.integers(0, 2**32))
def test_single_rows_are_spread_to_within_one_row(n_folds: int, seed: int) -> None:
    labels = ["mel"] * 17 + ["nv"] * 61
    groups = [str(row) for row in range(len(labels))]

    folds = make_folds(labels, groups, n_folds=n_folds, seed=seed)

    for label in ("mel", "nv"):
        per_fold = np.bincount(folds[np.array(labels) == label], minlength=n_folds)
        assert per_fold.max() - per_fold.min() <= 1


def test_another_seed_gives_other_folds() -> None:
    labels = ["mel", "nv"] * 50
    groups = [str(row) for row in range(100)]

    first, again, other = (make_folds(labels, groups, n_folds=5, seed=seed).tolist() for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_a_class_in_fewer_groups_than_folds_is_named_with_its_count() -> None:
    with pytest.raises(FoldError, match=r"class 'df' lies in 2 groups, too few for 3 folds"):
        make_folds(["df"] * 4 + ["nv"] * 3, ["a", "a", "b", "b", "c", "d", "e"], n_folds=3, seed=0)


@pytest.mark.parametrize(
    ("labels", "groups", "n_folds", "problem"),
    [
        (["a", "b"], ["1"], 2, "2 labels, but 1 groups"),
        (["a", "a"], ["1", ""], 2, "row 1 has a blank group"),
        (["a", "a"], ["1", "2"], 1, "1 folds were asked for"),
    ],
)
def test_unfit_rows_are_refused(labels: list[str], groups: list[str], n_folds: int, problem: str) -> None:
    with pytest.raises(FoldError, match=problem):
        make_folds(labels, groups, n_folds=n_folds, seed=0)


def test_no_rows_give_no_folds() -> None:
    assert make_folds([], [], n_folds=2, seed=0).tolist() == []


def test_a_torn_group_is_named() -> None:
    with pytest.raises(FoldError, match="group 'HAM_7' stands in fold 0 and in fold 2"):
        check_groups([0, 1, 2], ["HAM_7", "HAM_8", "HAM_7"])


def test_the_hash_of_a_split_is_that_of_its_sorted_lines() -> None:
    expected = hashlib.sha256(b"a\t1\nb\t0\n\xe7\x97\xa3\t1\n").hexdigest()

    assert split_sha256(["痣", "b", "a"], [1, 0, 1]) == expected
    assert split_sha256(["a", "b", "痣"], np.array([1, 0, 1])) == expected
    assert split_sha256(["a", "b", "痣"], ["1", "0", "1"]) == expected
    assert split_sha256(["a", "b", "痣"], [1, 0, 2]) != expected


@pytest.mark.parametrize(
    ("names", "problem"),
    [(["a", "a"], "listed 2 times"), (["a\t", "b"], "tab"), (["a"], "1 names, but 2 folds")],
)
def test_a_split_without_clear_names_has_no_hash(names: list[str], problem: str) -> None:
    with pytest.raises(FoldError, match=problem):
        split_sha256(names, [0, 1])


def unevenness(folds: NDArray[np.intp], labels: NDArray[np.str_], n_folds: int) -> float:
    """Give the largest gap between a class's share in a fold and an even share, of all classes and folds."""
    gaps = [
        np.abs(np.bincount(folds[labels == label], minlength=n_folds) / (labels == label).sum() - 1 / n_folds)
        for label in np.unique(labels)
    ]
    return float(np.max(gaps))


def test_patients_with_several_classes_are_spread_as_evenly_as_scikit_learn_spreads_them() -> None:
    chance = np.random.default_rng(7)
    groups = np.array([f"P{number}" for number in chance.integers(0, 300, 2000)])
    labels = chance.choice(["df", "bcc", "mel", "nv"], p=[0.02, 0.08, 0.2, 0.7], size=2000)
    theirs = np.zeros(2000, dtype=np.intp)
    splitter = StratifiedGroupKFold(n_splits=5, shuffle=True, random_state=0)
    for fold, (_, test_rows) in enumerate(splitter.split(labels, labels, groups)):
        theirs[test_rows] = fold

    ours = make_folds(labels.tolist(), groups.tolist(), n_folds=5, seed=0)

    assert unevenness(ours, labels, 5) <= unevenness(theirs, labels, 5)


@pytest.mark.datasets
def test_ham10000_folds_differ_by_at_most_a_row_of_the_rarest_class_in_a_thousand(datasets: Path) -> None:
    images = list(ham10000.read_images(datasets / "ham10000_256"))
    labels = [image.label for image in images]

    folds = make_folds(labels, [image.group for image in images], n_folds=5, seed=0)

    check_groups(folds, [image.group for image in images])
    assert unevenness(folds, np.array(labels), 5) < 0.005
