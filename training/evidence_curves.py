"""Whether the map that a model shows as its evidence is where its evidence is.

A picture is spoilt place by place in the order of the map, the most telling first, and the probability of the
class that the model had called is watched: if the map is right, it falls at once (deletion). The other way
round, a blurred picture is made sharp in that order: the probability comes back at once (insertion). One
number says it, the area under the curve; what it is worth is told by maps that know nothing of the picture:

* *shifted*: the picture's own map, mirrored, turned and moved on by chance. As smooth as the map and with the
  same values, but in the wrong place.
* *centred*: the middle first. Where every lesion stands in the middle, a map must beat this one to say more
  than "look at the middle".
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from models.card import Interval
from models.measures import bootstrap_interval
from models.runtime import Session
from models.scaling import Scaling
from training import markdown

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

MAPS = ("own", "shifted", "centred")
N_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, eq=False)
class EvidenceCurves:
    """How the called class's probability falls and rises.

    Attributes
    ----------
    fractions : (n_steps + 1,) float64
        Part of the pixels that was taken away (deletion) or given back (insertion), 0 to 1.
    deletion, insertion : dict of str to (n_images, n_steps + 1) float64
        Calibrated probability of the class that was called on the whole picture, by the name of the map.
    """

    fractions: Floats
    deletion: dict[str, Floats]
    insertion: dict[str, Floats]

    @property
    def n_images(self) -> int:
        """How many pictures were looked at."""
        return len(self.deletion["own"])


@dataclass(frozen=True, slots=True)
class EvidenceFigures:
    """Mean areas under the curves, and how much better the own map is than another.

    Attributes
    ----------
    n_steps : int
        Of the curves.
    deletion_area, insertion_area : dict of str to float
        Mean over the pictures, by the name of the map; a good map has a small one for deletion and a large
        one for insertion.
    deletion_gain, insertion_gain : dict of str to Interval
        Against each other map: its deletion area less the own, the own insertion area less its. Above 0 the
        own map knows more.
    """

    n_steps: int
    deletion_area: dict[str, float]
    insertion_area: dict[str, float]
    deletion_gain: dict[str, Interval]
    insertion_gain: dict[str, Interval]


def trace_curves(session: Session, pictures: Pixels, *, seed: int, n_steps: int = 20) -> EvidenceCurves:
    """Spoil and restore pictures in the order of their maps.

    Parameters
    ----------
    session : Session
        Of any model.
    pictures : (n_images, height, width, 3) uint8
        Its inputs; 64 tell enough.
    seed : int
        Of the shifted maps.
    n_steps : int
        Steps from the whole picture to none of it.

    Returns
    -------
    EvidenceCurves
        It costs ``n_images * (1 + 6 * (n_steps + 1))`` pictures' time, and the memory of one picture's steps.

    Raises
    ------
    models.errors.InputError
        If the pictures are none of the model's inputs.
    ValueError
        If there is no picture or no step.

    Notes
    -----
    Deletion puts the picture's mean colour in place of its pixels; insertion starts from the picture blurred
    with half a cell of the map as standard deviation, so that it keeps nothing finer than the map can tell.

    References
    ----------
    V. Petsiuk, A. Das, K. Saenko, "RISE: Randomized input sampling for explanation of black-box models",
    BMVC 2018.
    """
    if n_steps < 1 or not len(pictures):
        raise ValueError(f"{len(pictures)} pictures in {n_steps} steps, expected at least 1 of both")
    draws = np.random.default_rng(seed)
    scaling = Scaling.of(session.artifact.card.calibration)
    fractions = np.linspace(0.0, 1.0, n_steps + 1)
    deletion: dict[str, list[Floats]] = {name: [] for name in MAPS}
    insertion: dict[str, list[Floats]] = {name: [] for name in MAPS}
    for picture in pictures:
        outputs = session.run(picture[None])
        called = int(scaling.logits(outputs.logits[0]).argmax())
        own = outputs.maps[0, :, :, called]
        probability = _probability_of(session, called, scaling)
        bare = np.broadcast_to(picture.mean(axis=(0, 1)).round().astype(np.uint8), picture.shape)
        blurred = _blurred(picture, picture.shape[0] / own.shape[0] / 2.0)
        for name, evidence in zip(MAPS, (own, _shifted(own, draws), _centred(picture.shape)), strict=True):
            place = removal_order(evidence, picture.shape[:2])
            n_changed = (fractions * place.size).round().astype(np.intp)
            deletion[name].append(probability(_mixed(picture, bare, place, n_changed)))
            insertion[name].append(probability(_mixed(blurred, picture, place, n_changed)))
    return EvidenceCurves(
        fractions=fractions,
        deletion={name: np.array(curves) for name, curves in deletion.items()},
        insertion={name: np.array(curves) for name, curves in insertion.items()},
    )


def choose_pictures(
    labels: NDArray[np.int64], groups: NDArray[np.str_], n_pictures: int, *, seed: int
) -> NDArray[np.intp]:
    """Draw rows to trace, the classes in turn and no lesion twice.

    Parameters
    ----------
    labels : (n_rows,) int64
        Index of each row's class.
    groups : (n_rows,) str
        Its lesion or patient.
    n_pictures : int
        How many; fewer where there are not so many lesions.
    seed : int
        Of the draw.

    Returns
    -------
    (at most n_pictures,) intp
        Rows in rising order.

    Examples
    --------
    >>> labels, groups = np.array([0, 0, 0, 1]), np.array(["a", "a", "b", "c"])
    >>> labels[choose_pictures(labels, groups, 2, seed=0)]
    array([0, 1])
    """
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    _, first = np.unique(groups[shuffled], return_index=True)
    rows = shuffled[np.sort(first)]
    turn = np.empty(len(rows), np.intp)
    for label in np.unique(labels[rows]):
        of_class = labels[rows] == label
        turn[of_class] = np.arange(of_class.sum())
    return np.sort(rows[np.argsort(turn, kind="stable")[:n_pictures]])


def removal_order(evidence: NDArray[np.float32], shape: Sequence[int]) -> NDArray[np.intp]:
    """Give each pixel's place in the order of the evidence, 0 for the most telling.

    Parameters
    ----------
    evidence : (h, w) float32
        A map of any size, high where the place counts.
    shape : (height, width)
        Of the picture.

    Returns
    -------
    (height, width) intp
        Every number from 0 to ``height * width - 1`` once; equal pixels from the top left.

    Examples
    --------
    >>> removal_order(np.array([[0.0, 1.0]], np.float32), (1, 4))
    array([[3, 2, 1, 0]])
    """
    height, width = shape
    fine = np.asarray(
        Image.fromarray(np.asarray(evidence, np.float32)).resize((width, height), Image.Resampling.BICUBIC)
    )
    places = np.empty(fine.size, np.intp)
    places[np.argsort(-fine, axis=None, kind="stable")] = np.arange(fine.size)
    return places.reshape(height, width)


def summarise(
    curves: EvidenceCurves, groups: NDArray[np.str_], *, seed: int, n_resamples: int = N_RESAMPLES
) -> EvidenceFigures:
    """Measure the areas under the curves and compare the own map with the others, picture by picture.

    Parameters
    ----------
    curves : EvidenceCurves
    groups : (n_images,) str
        The lesion or patient of each picture; they are resampled whole.
    seed : int
        Of the draws.
    n_resamples : int
        Draws for each 95 % interval.
    """
    if groups.shape != (curves.n_images,):
        raise ValueError(f"there are {curves.n_images} curves, but {groups.shape} groups")
    deletion = {name: _areas(curves.fractions, values) for name, values in curves.deletion.items()}
    insertion = {name: _areas(curves.fractions, values) for name, values in curves.insertion.items()}

    def interval(gains: Floats) -> Interval:
        return bootstrap_interval(
            lambda rows: float(gains[rows].mean()), groups, n_resamples=n_resamples, seed=seed
        )

    others = [name for name in MAPS if name != "own"]
    return EvidenceFigures(
        n_steps=len(curves.fractions) - 1,
        deletion_area={name: float(areas.mean()) for name, areas in deletion.items()},
        insertion_area={name: float(areas.mean()) for name, areas in insertion.items()},
        deletion_gain={name: interval(deletion[name] - deletion["own"]) for name in others},
        insertion_gain={name: interval(insertion["own"] - insertion[name]) for name in others},
    )


def section(figures: EvidenceFigures) -> str:
    """Give the card's part on evidence as Markdown."""
    n_images = next(iter(figures.deletion_gain.values())).n
    rows = []
    for name in MAPS:
        gains = (
            ("", "")
            if name == "own"
            else (
                markdown.figure(figures.deletion_gain[name], sign="+"),
                markdown.figure(figures.insertion_gain[name], sign="+"),
            )
        )
        areas = (f"{figures.deletion_area[name]:.3f}", f"{figures.insertion_area[name]:.3f}")
        rows.append((name, areas[0], gains[0], areas[1], gains[1]))
    return "\n".join(
        [
            "## Evidence",
            "",
            f"Area under the curve of the called class's probability while {n_images} pictures of the test",
            f"folds are spoilt (deletion) or made sharp (insertion) in {figures.n_steps} steps, in the order",
            "of a map: the model's own, the same shifted by chance, and the middle first. A gain above 0",
            "(95 % interval, lesions or patients resampled whole) says that the model's own map knows more.",
            "",
            markdown.table(
                ("map", "deletion area", "gain of the own", "insertion area", "gain of the own"), rows
            ),
        ]
    )


def _probability_of(session: Session, called: int, scaling: Scaling) -> Callable[[Pixels], Floats]:
    def probability(batch: Pixels) -> Floats:
        return scaling.probabilities(session.run(batch).logits)[:, called]

    return probability


def _mixed(before: Pixels, after: Pixels, place: NDArray[np.intp], n_changed: NDArray[np.intp]) -> Pixels:
    """Change ever more pixels of a picture: (n_steps + 1, height, width, 3), the first as it was."""
    is_changed = place[None, :, :, None] < n_changed[:, None, None, None]
    return np.where(is_changed, after[None], before[None])


def _blurred(picture: Pixels, deviation_px: float) -> Pixels:
    return np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(deviation_px)))


def _shifted(evidence: NDArray[np.float32], draws: np.random.Generator) -> NDArray[np.float32]:
    """Move a map on round its borders, never by nothing, and mirror it by chance."""
    n_cells = evidence.size
    step = int(draws.integers(1, n_cells)) if n_cells > 1 else 0
    down, across = divmod(step, evidence.shape[1])
    moved = np.roll(evidence, (down, across), axis=(0, 1))
    for axis in (0, 1):
        if draws.integers(2):
            moved = np.flip(moved, axis=axis)
    return moved


def _centred(shape: tuple[int, ...]) -> NDArray[np.float32]:
    down, across = (np.linspace(-1.0, 1.0, side) for side in shape[:2])
    return np.asarray(-np.hypot(down[:, None], across[None, :]), np.float32)


def _areas(fractions: Floats, curves: Floats) -> Floats:
    return np.asarray(np.trapezoid(curves, fractions, axis=1), np.float64)
