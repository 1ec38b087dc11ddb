"""Folds that never tear a patient or a lesion apart.

Two pictures of one lesion are nearly one picture: with one of them in training, the other tests memory, not
skill. So folds are made of whole *groups*. Each class is spread as evenly over the folds as whole groups
allow, and a row's fold depends on the seed, the labels and the groups alone, never on the order of the rows:
a table that was sorted anew gives the same folds.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from data.errors import FoldError


def make_folds(labels: Sequence[str], groups: Sequence[str], *, n_folds: int, seed: int) -> NDArray[np.intp]:
    """Give the fold of each row, groups whole and classes even.

    Parameters
    ----------
    labels : (n_rows,) str
        The class of each row.
    groups : (n_rows,) str
        The patient or lesion of each row; rows of one group get one fold.
    n_folds : int
        How many folds, at least 2.
    seed : int
        Another seed gives other folds, as even as these.

    Returns
    -------
    (n_rows,) intp
        The fold of each row, 0 to `n_folds` - 1.

    Raises
    ------
    FoldError
        If a class lies in fewer groups than there are folds, a group is blank, or the lengths disagree.

    Notes
    -----
    Groups are placed one by one, that with the largest share of any class first, ties in an order drawn
    from the seed. A group with :math:`g_c` rows of class :math:`c` goes to the fold :math:`f` for which
    the sum over classes and folds of the squared shares :math:`(n_{cf} / N_c)^2` grows least, that is, to
    that with the least sum of :math:`n_{cf} g_c / N_c^2`; ties go to the smallest fold. Where every group has
    one class only, each fold gets rows of each class.

    Examples
    --------
    >>> make_folds(["mel", "mel", "nv", "nv", "nv"], ["a", "b", "c", "c", "d"], n_folds=2, seed=0)
    array([1, 0, 0, 0, 1])
    """
    if n_folds < 2:
        raise FoldError(f"{n_folds} folds were asked for, expected at least 2")
    if len(labels) != len(groups):
        raise FoldError(f"there are {len(labels)} labels, but {len(groups)} groups")
    if "" in groups:
        raise FoldError(f"row {list(groups).index('')} has a blank group; every row must name its own")
    group_names, group_of_row = np.unique(np.asarray(groups, dtype=object), return_inverse=True)
    class_names, class_of_row = np.unique(np.asarray(labels, dtype=object), return_inverse=True)
    counts = np.zeros((len(group_names), len(class_names)))
    np.add.at(counts, (group_of_row, class_of_row), 1)
    _check_enough_groups(counts, class_names, n_folds)
    fold_of_group = _place(counts, [str(name) for name in group_names], n_folds, seed)
    return fold_of_group[group_of_row]


def check_groups(folds: Sequence[int] | NDArray[np.intp], groups: Sequence[str]) -> None:
    """Raise FoldError, naming the group, if a group stands in more than one fold."""
    if len(folds) != len(groups):
        raise FoldError(f"there are {len(folds)} folds, but {len(groups)} groups")
    fold_of_group: dict[str, int] = {}
    for group, fold in zip(groups, folds, strict=True):
        first = fold_of_group.setdefault(group, int(fold))
        if first != fold:
            raise FoldError(f"group {group!r} stands in fold {first} and in fold {fold}")


def split_sha256(names: Sequence[str], folds: Sequence[int] | Sequence[str] | NDArray[np.intp]) -> str:
    """Give the hash by which a card names a split, the same for every order of the rows.

    It is the SHA-256 of one line per row, name, tab and fold, the lines sorted as bytes: ``LC_ALL=C
    sort split.tsv | sha256sum`` gives it too.

    Raises
    ------
    FoldError
        If a name repeats or holds a tab or a line break.

    Examples
    --------
    >>> split_sha256(["a", "b"], [0, 1]) == split_sha256(["b", "a"], [1, 0])
    True
    """
    if len(names) != len(folds):
        raise FoldError(f"there are {len(names)} names, but {len(folds)} folds")
    for name, n_rows in Counter(names).items():
        if n_rows > 1:
            raise FoldError(f"{name!r} is listed {n_rows} times, expected once")
        if {"\t", "\n"} & set(name):
            raise FoldError(f"{name!r} holds a tab or a line break")
    lines = sorted(f"{name}\t{fold}\n".encode() for name, fold in zip(names, folds, strict=True))
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _check_enough_groups(counts: NDArray[np.float64], class_names: NDArray[np.object_], n_folds: int) -> None:
    for class_name, n_groups in zip(class_names, (counts > 0).sum(axis=0), strict=True):
        if n_groups < n_folds:
            raise FoldError(
                f"class {class_name!r} lies in {n_groups} groups, too few for {n_folds} folds; "
                "ask for fewer folds, or leave the class out"
            )


def _place(counts: NDArray[np.float64], names: list[str], n_folds: int, seed: int) -> NDArray[np.intp]:
    class_sizes = counts.sum(axis=0)
    largest_share = (counts / class_sizes).max(axis=1, initial=0.0)
    draws = [_draw(seed, name) for name in names]
    fold_of_group = np.zeros(len(names), dtype=np.intp)
    held = np.zeros((n_folds, len(class_sizes)))
    for group in sorted(range(len(names)), key=lambda row: (-largest_share[row], draws[row])):
        growth = held @ (counts[group] / class_sizes**2)
        # Equal sums may differ in their last bits; unequal ones differ by far more than a billionth.
        lightest = np.flatnonzero(growth <= growth.min() * (1 + 1e-9))
        n_rows = held[lightest].sum(axis=1)
        smallest = lightest[n_rows == n_rows.min()]
        fold = smallest[draws[group] % len(smallest)]
        held[fold] += counts[group]
        fold_of_group[group] = fold
    return fold_of_group


def _draw(seed: int, name: str) -> int:
    digest = hashlib.blake2b(f"{seed}\t{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")
