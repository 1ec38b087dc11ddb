"""A recipe: everything that decides what a run gives, in one TOML file.

Two runs of one recipe on one machine give the same weights, bit for bit; its hash names them both. What
does not change the result (where the data lie, how many threads, which device) is no part of it. A key that
came later is no part of the hash while it has its default, so that older recipes keep theirs.
"""

import hashlib
import json
import tomllib
from operator import not_
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.card import ClassKey, ClassSpec, ContextField, InputRules, InputSpec, Pooling, Slug
from training.errors import RecipeError
from training.faults import tell_faults

SplitPart = Literal["train", "validation", "test"]
Part = Annotated[float, Field(ge=0.0, lt=1.0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SourceSpec(_Section):
    """The labelled set: its kind (one of `training.sources`), and its folder.

    `folder` is absolute, or lies under the folder of data sets that the environment or the command line
    names. A `manifest` needs `table`, the CSV's name within the folder. `options` are those of the kind's
    own reader: ``finding = "Pneumonia"`` for `nih_cxr14`, ``year = 2019`` for `isic`.
    """

    kind: str
    folder: str
    title: str
    licence: str
    table: str | None = None
    limits: tuple[str, ...] = ()
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _table_where_it_belongs(self) -> Self:
        if (self.kind == "manifest") != (self.table is not None):
            raise ValueError("a manifest needs a table, and no other kind takes one")
        return self


class FoldSpec(_Section):
    """Which folds of how many train, choose and measure; groups are never torn apart.

    With `cross` each fold is tested once, by a network that the others trained (:meth:`Recipe.of_fold`);
    `test` are then all folds, and neither it nor `validation` is stated. With `official` the source's own
    test split is measured on, and all its other rows are put into the folds; groups that the official split
    tears apart stay torn, so say so in the source's limits.
    """

    n: int = Field(ge=2)
    seed: int = 0
    test: tuple[int, ...] = (0,)
    validation: tuple[int, ...] = (1,)
    cross: bool = Field(default=False, exclude_if=not_)
    official: bool = Field(default=False, exclude_if=not_)

    @model_validator(mode="before")
    @classmethod
    def _test_the_official_split(cls, content: object) -> object:
        if not isinstance(content, dict) or content.get("official") is not True:
            return content
        n_folds = content.get("n")
        its_number = (n_folds if isinstance(n_folds, int) else 0,)
        if content.get("cross") is True or tuple(content.get("test", its_number)) != its_number:
            raise ValueError("official measures on the source's own test split; leave test and cross out")
        return content | {"test": its_number}

    @model_validator(mode="before")
    @classmethod
    def _test_each_fold_when_crossed(cls, content: object) -> object:
        if not isinstance(content, dict) or content.get("cross") is not True:
            return content
        if stated := {"test", "validation"} & content.keys():
            raise ValueError(f"cross tests each fold in turn; leave {' and '.join(sorted(stated))} out")
        n_folds = content.get("n")
        return content | {"test": range(n_folds if isinstance(n_folds, int) else 0), "validation": ()}

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.cross:
            return self
        held_out = (*self.test, *self.validation)
        if not self.test or not self.validation:
            raise ValueError("both test and validation need a fold")
        n_all = self.n + self.official
        if len(set(held_out)) != len(held_out) or not all(0 <= fold < n_all for fold in held_out):
            raise ValueError(f"test and validation must be different folds of 0 to {self.n - 1}")
        if len(held_out) >= n_all:
            raise ValueError("no fold is left to train on")
        return self

    @property
    def train(self) -> tuple[int, ...]:
        """The folds that are neither tested nor validated on."""
        held_out = {*self.test, *self.validation}
        return tuple(fold for fold in range(self.n) if fold not in held_out)

    @property
    def parts(self) -> dict[SplitPart, tuple[int, ...]]:
        """The folds of each part of the split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}

    def text_of(self, folds: tuple[int, ...]) -> str:
        """Name some folds as a card does.

        Examples
        --------
        >>> FoldSpec(n=5, seed=7).text_of((2, 3, 4))
        'folds 2, 3, 4 of 5 by group, seed 7'
        >>> crossed = FoldSpec(n=5, seed=7, cross=True)
        >>> crossed.text_of(crossed.test)
        'out of fold, 5 folds by group, seed 7'
        """
        if self.cross and len(folds) == self.n:
            return f"out of fold, {self.n} folds by group, seed {self.seed}"
        if self.cross:
            return f"out of fold, {self.model_copy(update={'cross': False}).text_of(folds)}"
        if self.official and folds == (self.n,):
            return "the official test split"
        plural = "s" if len(folds) > 1 else ""
        return f"fold{plural} {', '.join(map(str, folds))} of {self.n} by group, seed {self.seed}"


class SeenFolds(FoldSpec):
    """Folds that are kept apart although the network was trained on all of them; what names them says so."""

    def text_of(self, folds: tuple[int, ...]) -> str:
        """Name some folds as a card does.

        Examples
        --------
        >>> SeenFolds(n=5, seed=7).text_of((1,))
        'fold 1 of 5 by group, seed 7, which trained it too'
        """
        return f"{super().text_of(folds)}, which trained it too"


class LeftOutFold(FoldSpec):
    """The fold that a network never saw, and which sets its limit of novelty; what names the fold says so."""

    def text_of(self, folds: tuple[int, ...]) -> str:
        """Name some folds as a card does.

        Examples
        --------
        >>> LeftOutFold.model_construct(n=5, seed=7, test=(2,), validation=(2,)).text_of((2,))
        'fold 2 of 5 by group, seed 7, which set its limit of novelty'
        """
        of_it = ", which set its limit of novelty" if folds == self.test else ""
        return f"{super().text_of(folds)}{of_it}"


class NetworkSpec(_Section):
    """The network by its name (see `models.networks.build`).

    `folded` trains on with the normalisation of the first weights, `frozen_blocks` leaves the first blocks
    as they are: both make a step cheaper, and less of the network is there to over-fit. `compiled` fuses
    the steps of training into generated C++ (torch.compile), which adds in another order: on two cores with
    AVX-512 EfficientNet-Lite0 trained at 113 images/s at 128 px where it did 25 to 46 without. They are left
    out of the recipe's hash where they are not used, for older recipes keep theirs.
    """

    name: str
    pretrained: bool = False
    dropout: Part = 0.2
    drop_path: Part = 0.1
    folded: bool = Field(default=False, exclude_if=lambda value: not value)
    frozen_blocks: int = Field(default=0, ge=0, exclude_if=lambda value: not value)
    compiled: bool = Field(default=False, exclude_if=not_)


class Stage(_Section):
    """So many epochs at one size of the image; a recipe may train small first and finish larger."""

    epochs: int = Field(ge=1)
    px: int = Field(ge=16)
    batch_size: int = Field(ge=2)


class OptimiserSpec(_Section):
    """AdamW, cosine with warm-up.

    `learning_rate` is reached after `warmup_epochs`, then falls to `final_part` of itself.
    """

    learning_rate: float = Field(gt=0.0)
    warmup_epochs: float = Field(default=0.5, ge=0.0)
    final_part: Part = 0.01
    weight_decay: float = Field(default=0.02, ge=0.0)
    clip_norm: float = Field(default=5.0, gt=0.0)
    ema_decay: Part = 0.999


class LossSpec(_Section):
    """Cross entropy with smoothing; how rare classes are weighed.

    With `balance` b, class c is drawn (or its loss weighed) as n_c ** (1 - b): 0 leaves the classes as
    they are, 0.5 is the square-root rule, 1 makes them equal.
    """

    label_smoothing: Part = 0.05
    balance: float = Field(default=0.5, ge=0.0, le=1.0)
    balance_by: Literal["sampling", "weights"] = "sampling"
    mixup_alpha: float = Field(default=0.0, ge=0.0)


class AugmentSpec(_Section):
    """How far each image is changed; every value is the largest change, drawn uniformly below it."""

    flip_horizontal: bool = True
    flip_vertical: bool = False
    rotation_degrees: float = Field(default=0.0, ge=0.0, le=180.0)
    scale: Part = 0.0
    stretch: Part = 0.0
    shift: Part = 0.0
    brightness: Part = 0.0
    contrast: Part = 0.0
    saturation: Part = 0.0
    hue_degrees: float = Field(default=0.0, ge=0.0, le=180.0)
    erase_probability: Part = 0.0


class StoppingSpec(_Section):
    """Which epoch's weights are taken.

    `best`: those of the epoch of the last stage in which `monitor` is highest on the validation folds, and
    the run ends when none was better for `patience_epochs`. `last`: those at the end of the recipe's epochs;
    nothing need be held back to choose, so a crossed recipe trains on all folds but the one it tests.
    """

    choose: Literal["best", "last"] = Field(default="best", exclude_if=lambda choose: choose == "best")
    monitor: Literal["balanced_accuracy", "macro_auc"] = "balanced_accuracy"
    patience_epochs: int = Field(default=3, ge=1)


class DistilSpec(_Section):
    """How far the network that ships learns from what the networks of the folds say, out of fold.

    `weight` of the loss is the cross entropy with their probabilities, both at `temperature`, times its
    square, so that the gradient keeps its size [1]_; the rest is that of the labels.

    References
    ----------
    .. [1] G. Hinton, O. Vinyals, J. Dean, "Distilling the knowledge in a neural network", 2015,
       arXiv:1503.02531.
    """

    weight: float = Field(default=0.5, gt=0.0, le=1.0)
    temperature: float = Field(default=2.0, gt=0.0)


class PointSpec(_Section):
    """An operating point wanted: a threshold that keeps this sensitivity, or this specificity.

    `balanced` may state neither: then it maximises the sum of the two.
    """

    name: Literal["rule-out", "balanced", "rule-in"]
    sensitivity: float | None = Field(default=None, gt=0.0, lt=1.0)
    specificity: float | None = Field(default=None, gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if self.sensitivity is not None and self.specificity is not None:
            raise ValueError("state a sensitivity or a specificity, not both")
        if self.name != "balanced" and self.sensitivity is None and self.specificity is None:
            raise ValueError(f"{self.name} must state a sensitivity or a specificity")
        return self


class ContextSpec(_Section):
    """What of the patient the model may take into account, where it is known and pays."""

    fields: tuple[ContextField, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.fields)) != len(self.fields):
            raise ValueError(f"fields repeat: {', '.join(self.fields)}")
        return self


class Recipe(_Section):
    """The whole recipe; see the module's text.

    `unit` is what is calibrated, judged and measured: each image, or each study, its images pooled.
    """

    name: Slug
    version: str = Field(pattern=r"^[0-9]+(\.[0-9]+)*$")
    title_en: str
    title_zh: str
    task: Slug
    licence: str
    intended_use: str
    limits: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0)
    positive: tuple[ClassKey, ...] = Field(min_length=1)
    pooling: Pooling = Pooling.MEAN_LOGITS
    unit: Literal["image", "study"] = Field(default="image", exclude_if=lambda unit: unit == "image")
    novelty_acceptance: float = Field(default=0.98, gt=0.5, lt=1.0)

    source: SourceSpec
    folds: FoldSpec
    applies_to: InputRules
    input: InputSpec
    network: NetworkSpec
    stages: tuple[Stage, ...] = Field(min_length=1)
    optimiser: OptimiserSpec
    loss: LossSpec = LossSpec()
    augment: AugmentSpec = AugmentSpec()
    stopping: StoppingSpec = StoppingSpec()
    distil: DistilSpec | None = Field(default=None, exclude_if=not_)
    context: ContextSpec | None = Field(default=None, exclude_if=not_)
    operating_points: tuple[PointSpec, ...] = Field(min_length=1)
    classes: tuple[ClassSpec, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        keys = self.class_keys
        if len(set(keys)) != len(keys):
            raise ValueError(f"class keys repeat: {', '.join(keys)}")
        if unknown := sorted(set(self.positive) - set(keys)):
            raise ValueError(f"positive names unknown classes: {', '.join(unknown)}")
        if self.input.height != self.input.width or self.stages[-1].px != self.input.height:
            raise ValueError(
                f"the last stage trains at {self.stages[-1].px} px, "
                f"but the input is {self.input.height} x {self.input.width}"
            )
        if self.folds.cross and self.folds.n == 2:
            raise ValueError("two folds are too few to cross; take 3 at least")
        if self.distil is not None and not self.folds.cross:
            raise ValueError("distil learns from what was said out of fold; set folds.cross = true")
        if "balanced" not in {point.name for point in self.operating_points}:
            raise ValueError("operating_points must have one named 'balanced'")
        return self

    @property
    def class_keys(self) -> tuple[str, ...]:
        """The classes' keys in the order of the logits."""
        return tuple(spec.key for spec in self.classes)

    @property
    def n_epochs(self) -> int:
        """Epochs of all stages together."""
        return sum(stage.epochs for stage in self.stages)

    def stage_of_epoch(self, epoch: int) -> Stage:
        """Give the stage that an epoch, counted from 0, belongs to."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        raise ValueError(f"the recipe has {self.n_epochs} epochs only")

    def of_fold(self, fold: int) -> "Recipe":
        """Give a crossed recipe as that of one fold's run: it tests on `fold`.

        The next fold is validated on if it takes one to choose the epoch; else all others train.

        Raises
        ------
        RecipeError
            If the recipe is not crossed or has no such fold.
        """
        spec = self.folds
        if not spec.cross:
            raise RecipeError(f"{self.name} names its test folds; it has no run for fold {fold} alone")
        if not 0 <= fold < spec.n:
            raise RecipeError(f"{self.name} has no fold {fold}; they are 0 to {spec.n - 1}")
        validation = ((fold + 1) % spec.n,) if self.stopping.choose == "best" else ()
        apart = spec.model_copy(update={"test": (fold,), "validation": validation, "cross": False})
        return self.model_copy(update={"folds": apart})

    @property
    def whole(self) -> "Recipe":
        """The recipe of the network that ships of a crossed one: all folds train, to the last epoch."""
        folds = self.folds.model_copy(update={"test": (), "validation": (), "cross": False})
        stopping = self.stopping.model_copy(update={"choose": "last"})
        return self.model_copy(update={"folds": folds, "stopping": stopping})

    @property
    def shipped(self) -> "Recipe":
        """The recipe as the network that ships sees it: its parts for what must be measured on it itself.

        Of a crossed recipe no part is unseen; they are named so.
        """
        spec = self.folds
        if not spec.cross:
            return self
        seen = SeenFolds(n=spec.n, seed=spec.seed, test=(0,), validation=(spec.n - 1,))
        return self.model_copy(update={"folds": seen})

    def shipped_of_fold(self, fold: int) -> "Recipe":
        """Give a crossed recipe as the network of one fold sees it, where that is what ships."""
        spec = self.of_fold(fold).folds
        seen = spec.model_dump() | {"test": (fold,), "validation": (fold,)}
        return self.model_copy(update={"folds": LeftOutFold.model_construct(**seen)})

    def input_at(self, px: int) -> InputSpec:
        """Give the input specification at another size."""
        return self.input.model_copy(update={"height": px, "width": px})

    @property
    def sha256(self) -> str:
        """Hash of everything in the recipe, whatever the file's layout and comments."""
        return _sha256(self.model_dump(mode="json"))

    @property
    def fit_sha256(self) -> str:
        """Hash of what decides the weights: a run may go on when only names, codes or limits changed."""
        decisive = {"seed", "folds", "input", "network", "stages", "optimiser", "loss", "augment", "stopping"}
        content = self.model_dump(mode="json", include=decisive)
        if self.distil is not None and not self.folds.test:
            content["distil"] = self.distil.model_dump(mode="json")
        source = {"kind": self.source.kind, "table": self.source.table, **self.source.options}
        return _sha256({**content, "classes": self.class_keys, "source": source})


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises
    ------
    RecipeError
        If the file is missing, is no TOML, or a key is unknown, missing or has a wrong value; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        content = tomllib.loads(text)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is no TOML file: {error}") from error
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise RecipeError(f"{path}, {tell_faults(Recipe, text, error.errors())}") from error


def _sha256(content: dict[str, object]) -> str:
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()
