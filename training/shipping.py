"""Which network of a recipe ships: the one that it trained; of a crossed one its refit, or that of one fold.

The refit has seen every image, so no image is left to measure it itself. The network of a fold has seen
fewer, costs nothing more, and is measured on the fold that it never saw.
"""

from dataclasses import dataclass

from models.card import Metric
from training.errors import RunError
from training.figures import Reading, measure
from training.pool import finished_folds, read_out_of_fold
from training.recipe import Recipe
from training.run import Run, read_json, write_json
from training.trials import cross_fit

# As the card groups the figures of the one network that ships, where those of its recipe stand beside them.
ITSELF = "the network that ships"
ON_REFIT = (
    "Figures, calibration and thresholds were measured on the networks of {n} folds, each on the fold that "
    "it never saw. The network that ships was made by the same recipe from all folds; no image is left on "
    "which it could be measured itself."
)
ON_FOLD = (
    "Figures, calibration and thresholds were measured on the networks of {n} folds, each on the fold that "
    "it never saw. The network that ships is that of fold {fold}; on the {images} images of that fold it "
    "gives {figures}."
)


@dataclass(frozen=True)
class Shipped:
    """The network that ships.

    Attributes
    ----------
    trained : Recipe
        As it was trained.
    run : Run
        In which its weights lie.
    view : Recipe
        Its parts are those for what must be measured on this very network.
    fold : int or None
        Which fold of a crossed recipe it never saw; None for a refit, and for a recipe that is not crossed.
    """

    trained: Recipe
    run: Run
    view: Recipe
    fold: int | None = None

    @property
    def is_refit(self) -> bool:
        """Whether it has seen every image."""
        return not self.trained.folds.test


def shipped_network(recipe: Recipe, run: Run, fold: int | None = None) -> Shipped:
    """Find the network that ships; `fold` takes that of one fold of a crossed recipe.

    Raises
    ------
    training.errors.RecipeError
        If the recipe is not crossed, or has no such fold.
    """
    if fold is not None:
        return Shipped(recipe.of_fold(fold), run.of_fold(fold), recipe.shipped_of_fold(fold), fold)
    if recipe.folds.cross:
        return Shipped(recipe.whole, run.refit, recipe.shipped)
    return Shipped(recipe, run, recipe)


def note_shipped(run: Run, shipped: Shipped) -> None:
    """Write down for the report which network was exported."""
    write_json(run.folder / "shipped.json", {"fold": shipped.fold})


def read_shipped(recipe: Recipe, run: Run) -> Shipped:
    """Read what :func:`note_shipped` wrote; a run that was exported before it was noted shipped its refit.

    Raises
    ------
    RunError
        If the file holds something else.
    """
    path = run.folder / "shipped.json"
    fold = read_json(path).get("fold") if path.exists() else None
    if fold is not None and not isinstance(fold, int):
        raise RunError(f"{path} names no fold; make it again with: firstread-train export")
    return shipped_network(recipe, run, fold)


def measure_itself(recipe: Recipe, run: Run, shipped: Shipped) -> tuple[Metric, ...]:
    """Measure the network of a fold on that fold, with calibration fitted on the others; else nothing."""
    if shipped.fold is None:
        return ()
    parts = read_out_of_fold(recipe, run)
    trials = cross_fit(recipe, [*parts.values()], recipe.folds.text_of(tuple(parts)))
    trial = trials.each[[*parts].index(shipped.fold)]
    measured = measure(
        recipe, [Reading(trial.measured, trial.fit)], split=shipped.trained.folds.text_of((shipped.fold,))
    )
    return tuple(
        metric.model_copy(update={"group": ITSELF})
        for metric in measured
        if not metric.name.startswith("recall")
    )


def limit_of(recipe: Recipe, run: Run, shipped: Shipped, itself: tuple[Metric, ...]) -> tuple[str, ...]:
    """Say in the card what its figures were measured on, where that is not the network that ships."""
    if not recipe.folds.cross:
        return ()
    if shipped.fold is None:
        return (ON_REFIT.format(n=recipe.folds.n),)
    n_networks = len(finished_folds(recipe, run))
    told = ", ".join(
        f"{metric.name.replace('_', ' ').replace('auc', 'AUC')} {metric.figure.value:.3f} "
        f"({metric.figure.low:.3f} to {metric.figure.high:.3f})"
        for metric in itself
    )
    n_images = max(metric.figure.n for metric in itself)
    return (ON_FOLD.format(n=n_networks, fold=shipped.fold, images=f"{n_images:,}", figures=told),)
