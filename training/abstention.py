"""Whether a model notices pictures that it was not made for, and how many of its own it turns away."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.calibration import wilson_interval
from models.card import Colour, Interval, Metric
from models.measures import auc, bootstrap_interval
from models.novelty import judge
from models.runtime import Session
from training import markdown
from training.dataset import LabelledSet, Pixels
from training.foreign import ForeignSet, made_sets, other_sets, sample_photographs
from training.looks import Looks, looks_of, ordinarily_changed
from training.recipe import Recipe

Floats = NDArray[np.float64]

N_OWN = 500
N_FOREIGN = 200
N_RESAMPLES = 1000
OWN, CHANGED = "own kind, test folds", "own kind, ordinarily changed"


@dataclass(frozen=True, slots=True)
class KindFigures:
    """One kind of picture: the part that is abstained from, and whether its novelty tells it from the own.

    `auroc` is None for the own kind, where it is 0.5 by definition, and for changes that should not matter.
    """

    kind: str
    abstained: Interval
    auroc: Interval | None = None


@dataclass(frozen=True, slots=True)
class AbstentionFigures:
    """The own kind, the same ordinarily changed, and every foreign kind; `missing` were not at hand."""

    own: KindFigures
    changed: KindFigures
    foreign: tuple[KindFigures, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class OwnPictures:
    """Inputs of the model's own kind that it was not fitted on.

    Attributes
    ----------
    pictures : (n, height, width, 3) uint8
    origins : (n,) str
        Their lesions or patients.
    source : str
        Kind of source they come from, which is not foreign.
    """

    pictures: Pixels
    origins: NDArray[np.str_]
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class NoveltyMaterial:
    """From what a model learns to abstain, and on what that is measured."""

    looks: Looks
    own: OwnPictures
    datasets: Path | None


def material_of(
    recipe: Recipe, labelled: LabelledSet, pixels: Pixels, datasets: Path | None
) -> NoveltyMaterial:
    """Describe the training and validation folds, and draw pictures of the test folds.

    Parameters
    ----------
    recipe : Recipe
        Its folds, its source and its seed.
    labelled : LabelledSet
        The rows.
    pixels : (n_rows, height, width, 3) uint8
        Their pictures as the model's inputs.
    datasets : Path or None
        The folder of data sets.
    """
    rows = labelled.rows_in(recipe.folds.test)
    rows = np.sort(np.random.default_rng(recipe.seed).permutation(rows)[:N_OWN])
    looks = looks_of(
        pixels,
        labelled.rows_in(recipe.folds.train),
        labelled.rows_in(recipe.folds.validation),
        is_colour=recipe.input.colour is Colour.RGB,
        seed=recipe.seed,
    )
    own = OwnPictures(np.array(pixels[rows]), labelled.groups[rows], recipe.source.kind)
    return NoveltyMaterial(looks, own, datasets)


def measure_abstention(
    session: Session, own: OwnPictures, *, datasets: Path | None, seed: int
) -> AbstentionFigures:
    """Show an exported model its own kind of picture and foreign ones.

    Parameters
    ----------
    session : Session
        Of a model that knows novelty.
    own : OwnPictures
        Of the test folds; 500 tell enough.
    datasets : Path or None
        The folder of data sets, whose other sets are foreign kinds; what is not there is named as missing.
    seed : int
        Of all draws.

    Raises
    ------
    ValueError
        If the model does not know novelty.
    data.errors.DataError
        If a data set is there but cannot be read.
    """
    spec = session.artifact.card.input
    some = slice(0, N_FOREIGN)
    sets = [*made_sets(own.pictures[some], own.origins[some], spec, n_each=N_FOREIGN, seed=seed)]
    missing: list[str] = []
    photographs = sample_photographs(spec, seed=seed)
    if photographs is None:
        missing.append("photographs of other things")
    else:
        sets.append(photographs)
    if datasets is None:
        missing.append("other data sets")
    else:
        for found in other_sets(datasets, spec, without=own.source, n_each=N_FOREIGN, seed=seed):
            if isinstance(found, ForeignSet):
                sets.append(found)
            else:
                missing.append(found)
    draws = np.random.default_rng(seed)
    is_colour = spec.colour is Colour.RGB
    changed = np.stack([ordinarily_changed(one, draws, is_colour=is_colour) for one in own.pictures[some]])
    own_scores = novelty_scores(session, own.pictures)
    return AbstentionFigures(
        own=KindFigures(OWN, _part(own_scores, own.origins, seed)),
        changed=KindFigures(CHANGED, _part(novelty_scores(session, changed), own.origins[some], seed)),
        foreign=tuple(_figures_of(session, one, own_scores, own.origins, seed) for one in sets),
        missing=tuple(missing),
    )


def novelty_scores(session: Session, pictures: Pixels) -> Floats:
    """Give each picture's novelty (n,), above 1 where the model abstains; pictures are its inputs.

    Raises
    ------
    ValueError
        If the model does not know novelty.
    """
    known = session.artifact.novelty
    if known is None:
        raise ValueError(f"{session.artifact.label} does not know novelty")
    return judge(session.run(pictures).features, pictures, known).scores


def abstention_metrics(figures: AbstentionFigures, split: str) -> tuple[Metric, ...]:
    """Give the figures as the machine's card holds them; the own kind's is one of all images."""
    own = [
        Metric(name="abstained", split=split, figure=figures.own.abstained),
        Metric(name="abstained", split=split, figure=figures.changed.abstained, group="ordinarily changed"),
    ]
    foreign = [
        Metric(name=name, split=split, figure=figure, group=f"foreign: {one.kind}")
        for one in figures.foreign
        for name, figure in (("novelty_auroc", one.auroc), ("abstained", one.abstained))
        if figure is not None
    ]
    return (*own, *foreign)


def section(figures: AbstentionFigures) -> str:
    """Give the card's table as Markdown."""
    lines = [
        "How well this works was measured with the exported model, on pictures of the test folds and on",
        "foreign ones, told apart by their novelty (AUROC; 95 % intervals, lesions, patients or motifs",
        "resampled whole). Ordinary changes are those of another camera: light, white balance, sharpness,",
        "grain, compression; the model should not mind them. A blur is heavy from a standard deviation of a",
        "24th of the side on.",
        "",
        markdown.table(
            ("pictures", "number", "abstained from", "AUROC"),
            [
                (one.kind, str(one.abstained.n), _text(one.abstained), _text(one.auroc))
                for one in (figures.own, figures.changed, *figures.foreign)
            ],
        ),
    ]
    if figures.missing:
        lines += ["", f"Not at hand, so not measured: {', '.join(figures.missing)}."]
    return "\n".join(lines)


def _figures_of(
    session: Session, foreign: ForeignSet, own_scores: Floats, own_origins: NDArray[np.str_], seed: int
) -> KindFigures:
    scores = novelty_scores(session, foreign.pictures)
    all_scores = np.concatenate([own_scores, scores])
    is_foreign = np.arange(len(all_scores)) >= len(own_scores)
    # an origin that gave both a picture and its blur is drawn with both
    origins = np.concatenate([own_origins, foreign.origins])
    auroc = bootstrap_interval(
        lambda rows: auc(is_foreign[rows], all_scores[rows]), origins, n_resamples=N_RESAMPLES, seed=seed
    )
    return KindFigures(
        kind=foreign.kind,
        abstained=_part(scores, foreign.origins, seed),
        auroc=auroc.model_copy(update={"n": len(scores)}),
    )


def _part(scores: Floats, origins: NDArray[np.str_], seed: int) -> Interval:
    """Give the part above 1; where that is none or all, Wilson's interval for as many trials as origins.

    Of one origin alone the pictures are the trials: nothing is known then of another.
    """
    is_new = scores > 1.0
    n_origins = len(np.unique(origins))
    if n_origins == 1:
        return wilson_interval(int(is_new.sum()), is_new.size)
    interval = bootstrap_interval(
        lambda rows: float(is_new[rows].mean()), origins, n_resamples=N_RESAMPLES, seed=seed
    )
    if 0.0 < interval.value < 1.0:
        return interval
    wilson = wilson_interval(round(interval.value * n_origins), n_origins)
    return wilson.model_copy(update={"n": len(scores)})


def _text(interval: Interval | None) -> str:
    return "" if interval is None else markdown.figure(interval)
