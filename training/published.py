"""The README's table: what was published of a task, and what our shipped models reach, from their cards.

README and cards cannot disagree: the table stands between two markers and is written from the cards by
``firstread-train table``; a test compares them. Figures of recipes whose networks do not ship come from the
files that are kept beside them (:mod:`training.kept`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.artifact import Artifact
from models.card import Interval, Metric, ModelCard, OperatingPoint
from models.registry import Registry
from training.errors import RecipeError, TrainingError
from training.kept import KeptFigures, read_kept
from training.recipe import read_recipe
from training.saving import replacing

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
NOT_MEASURED = "not in its card"

_HEAD = ("what", "published", "ours (95 % interval)", "to reach", "", "split", "command")


@dataclass(frozen=True, slots=True)
class Claim:
    """A figure of a model that others published too.

    Attributes
    ----------
    model : str
        Its name, or that of the recipe's file if its network does not ship.
    metric : str
        As the card calls it; ``balanced.sensitivity`` is that of an operating point.
    title : str
        For people.
    published : str
        Figure, method, and how it was split where that was not alike.
    at_least : float or None
        What was to be reached; None where it stands for comparison alone.
    """

    model: str
    metric: str
    title: str
    published: str
    at_least: float | None = None


_ENSEMBLE = (
    ".804 (.744 to .862), six foundation models together; single ones .786 to .801 on splits that leak"
)
_CROSSED, _DERMAMNIST = "derm-lesion-crossed", "derm-lesion-dermamnist"
_MEDMNIST_AUC = "ResNet-18 .920, AutoML .914, DenseNet-121 .963 (MedMNIST+)"
_MEDMNIST_ACC = "ResNet-18 .754, AutoML .768, DenseNet-121 .847 (MedMNIST+)"
_PNEUMONIA = "ResNet-18 .956, ResNet-50 .962, AutoML .991 (PneumoniaMNIST, MedMNIST v2); DINO probe .989"
_ABRIGO = "Abrigo 2023, 1,372 other studies"
CLAIMS = (
    Claim("derm-lesion", "balanced_accuracy", "HAM10000, balanced accuracy, seven classes", _ENSEMBLE, 0.78),
    Claim("derm-lesion", "auc_mel", "HAM10000, melanoma AUC", "-", 0.94),
    Claim("derm-lesion", "macro_auc", "HAM10000, macro AUC", "-"),
    Claim("derm-lesion", "auc_positive", "HAM10000, dangerous against harmless, AUC", "-"),
    Claim("derm-lesion", "balanced.sensitivity", "the same, sensitivity at the point 'balanced'", "-"),
    Claim("derm-lesion", "balanced.specificity", "the same, specificity", "-"),
    Claim(
        _CROSSED, "balanced_accuracy_even", "HAM10000, balanced accuracy, every class alike", _ENSEMBLE, 0.78
    ),
    Claim(_CROSSED, "balanced_accuracy", "the same, the likeliest class being called", "-"),
    Claim(_CROSSED, "accuracy", "HAM10000, accuracy", "-"),
    Claim(_CROSSED, "auc_mel", "HAM10000, melanoma AUC", "-", 0.94),
    Claim(_CROSSED, "macro_auc", "HAM10000, macro AUC", "-"),
    Claim(
        _DERMAMNIST, "macro_auc", "DermaMNIST at 224 px, AUC (its split leaks lesions)", _MEDMNIST_AUC, 0.963
    ),
    Claim(_DERMAMNIST, "accuracy", "the same, accuracy", _MEDMNIST_ACC, 0.847),
    Claim("cxr-pneumonia", "auc_positive", "Kermany radiographs, AUC", _PNEUMONIA, 0.985),
    Claim(
        "cxr-pneumonia", "balanced.sensitivity", "the same, sensitivity at the point 'balanced'", "-", 0.97
    ),
    Claim("cxr-pneumonia", "balanced.specificity", "the same, specificity", "-", 0.90),
    Claim(
        "cxr-pneumonia",
        "accuracy",
        "Kermany radiographs, accuracy",
        "ResNet-18 .864, ResNet-50 .884, AutoML .946 (PneumoniaMNIST, MedMNIST v2); DINO probe .916",
    ),
    Claim("head-ct-haemorrhage", "study_auc_positive", "CT-ICH, AUC of studies", f".842, {_ABRIGO}", 0.85),
    Claim(
        "head-ct-haemorrhage",
        "balanced.sensitivity",
        "the same, sensitivity at the point 'balanced'",
        f".73, {_ABRIGO}",
    ),
    Claim("head-ct-haemorrhage", "balanced.specificity", "the same, specificity", f".79, {_ABRIGO}"),
    Claim(
        "head-ct-haemorrhage",
        "image_auc_positive",
        "CT-ICH, AUC of slices",
        ".67, our floor: principal components and logistic regression",
        0.88,
    ),
    Claim(
        "head-ct-haemorrhage",
        "key_image_first_3",
        "CT-ICH, positive studies with a true slice among the first 3 key images",
        ".67, the same floor",
        0.90,
    ),
)


def figures_table(registry: Registry, recipes: Path, claims: Sequence[Claim] = CLAIMS) -> str:
    """Give the table of the models in charge, and of kept figures, as Markdown; others have no rows.

    Parameters
    ----------
    registry : Registry
        The models.
    recipes : Path
        The folder of recipes, among which each model's is found by its hash, with figures kept beside them.
    claims : sequence of Claim
        What is compared.
    """
    names = {artifact.card.name for artifact in registry.artifacts()}
    rows = []
    for claim in claims:
        beside = recipes / f"{claim.model}.json"
        if claim.model in names:
            rows.append(_row(claim, _of_model(registry.get(claim.model), recipes)))
        elif beside.is_file():
            rows.append(_row(claim, _of_recipe(read_kept(beside), recipes / f"{claim.model}.toml")))
    lines = [_HEAD, tuple("---" for _ in _HEAD), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def table_in(text: str) -> str:
    """Give what stands between the markers.

    Raises
    ------
    TrainingError
        If there is not one pair of them.

    Examples
    --------
    >>> table_in(f"before {BEGIN} the table {END} after")
    'the table'
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(END) < text.index(BEGIN):
        raise TrainingError(f"the text needs one '{BEGIN}' and after it one '{END}'")
    return text.partition(BEGIN)[2].partition(END)[0].strip()


def write_table(readme: Path, table: str) -> None:
    """Put the table between the markers of a file.

    Raises
    ------
    TrainingError
        If the file cannot be read or lacks a marker.
    """
    try:
        text = readme.read_text(encoding="utf-8")
        table_in(text)
    except OSError as error:
        raise TrainingError(f"{readme} cannot be read: {error.strerror}") from error
    except TrainingError as error:
        raise TrainingError(f"{readme}: {error}") from error
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    with replacing(readme) as file:
        file.write(f"{before}{BEGIN}\n{table}\n{END}{after}".encode())


@dataclass(frozen=True, slots=True)
class _Figures:
    """Figures with what they are of; `tested_on` is what operating points were measured on."""

    label: str
    metrics: Sequence[Metric]
    operating_points: Sequence[OperatingPoint]
    tested_on: str
    command: str


def _of_model(artifact: Artifact, recipes: Path) -> _Figures:
    card = artifact.card
    tested_on = next((one.split for one in card.training_data if one.role == "test"), "-")
    command = f"`firstread-train fit {_recipe_of(card, recipes)}`"
    return _Figures(artifact.label, card.metrics, card.operating_points, tested_on, command)


def _of_recipe(kept: KeptFigures, path: Path) -> _Figures:
    """Take kept figures.

    Raises
    ------
    TrainingError
        If they are of another recipe than the one they lie beside.
    """
    if read_recipe(path).sha256 != kept.recipe_sha256:
        raise TrainingError(
            f"{path.with_suffix('.json')} is of another recipe than {path.name}; keep it anew"
        )
    command = f"`firstread-train fit training/recipes/{path.name}`"
    label = f"recipe {path.stem}"
    return _Figures(label, kept.metrics, kept.operating_points, kept.measured_on, command)


def _row(claim: Claim, figures: _Figures) -> tuple[str, ...]:
    found = next(_measured(figures, claim.metric), None)
    aim = "-" if claim.at_least is None else f">= {_short(claim.at_least)}"
    title = f"{claim.title} (`{figures.label}`)"
    if found is None:
        return title, claim.published, NOT_MEASURED, aim, "", "-", figures.command
    figure, split = found
    ours = f"{_short(figure.value)} ({_short(figure.low)} to {_short(figure.high)})"
    verdict = "" if claim.at_least is None else "met" if figure.value >= claim.at_least else "**missed**"
    return title, claim.published, ours, aim, verdict, split, figures.command


def _measured(figures: _Figures, name: str) -> Iterator[tuple[Interval, str]]:
    point_name, _, rate = name.partition(".")
    for metric in figures.metrics:
        if (metric.name, metric.group) == (name, "all"):
            yield metric.figure, metric.split
    for point in figures.operating_points:
        if rate and point.name == point_name:
            figure = point.sensitivity if rate == "sensitivity" else point.specificity
            yield figure, figures.tested_on


def _recipe_of(card: ModelCard, recipes: Path) -> str:
    for path in sorted(recipes.glob("*.toml")):
        try:
            if read_recipe(path).sha256 == card.recipe_sha256:
                return f"training/recipes/{path.name}"
        except RecipeError:  # another recipe's fault is told where it is used
            continue
    return f"RECIPE` with the hash `{card.recipe_sha256[:12]}"


def _short(value: float) -> str:
    """Write a part of one as the README does.

    Examples
    --------
    >>> _short(0.7021), _short(1.0)
    ('.702', '1.000')
    """
    return f"{value:.3f}".removeprefix("0")
