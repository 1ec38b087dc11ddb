"""Figures of a recipe, kept beside it for the README: of networks that were measured and do not ship.

``training/recipes/NAME.json`` is written by ``firstread-train keep`` from a run that was calibrated. It holds
no more than the card of a model would, and the recipe's hash, so that figures of another recipe are told.
"""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from models.card import Calibration, Metric, OperatingPoint, Sha256
from training.errors import RunError
from training.making_section import runs_of, wall_time
from training.pool import measured_on
from training.recipe import Recipe
from training.run import Run, read_json, write_json


class KeptFigures(BaseModel):
    """What a run of a recipe reached.

    `measured_on` names the rows; `cost` says how long its networks were trained.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str
    recipe_sha256: Sha256
    split_sha256: Sha256
    measured_on: str
    cost: str
    metrics: tuple[Metric, ...]
    calibration: Calibration
    operating_points: tuple[OperatingPoint, ...]

    @classmethod
    def of_run(cls, recipe: Recipe, run: Run) -> Self:
        """Take the figures of a run that was evaluated and calibrated.

        Raises
        ------
        RunError
            If it was not.
        """
        evaluated, calibrated = read_json(run.evaluation), read_json(run.calibration)
        runs = runs_of(recipe, run)
        return cls.model_validate(
            {
                "recipe": recipe.name,
                "recipe_sha256": recipe.sha256,
                "split_sha256": read_json(runs[0].facts)["split_sha256"],
                "measured_on": measured_on(recipe, run),
                "cost": str(wall_time(runs)),
                "metrics": evaluated["metrics"],
                "calibration": calibrated["calibration"],
                "operating_points": calibrated["operating_points"],
            }
        )


def keep(recipe: Recipe, recipe_path: Path, run: Run) -> Path:
    """Write a run's figures beside its recipe; give the file."""
    path = recipe_path.with_suffix(".json")
    write_json(path, KeptFigures.of_run(recipe, run).model_dump(mode="json"))
    return path


def read_kept(path: Path) -> KeptFigures:
    """Read what :func:`keep` wrote.

    Raises
    ------
    RunError
        If the file is missing or holds something else.
    """
    try:
        return KeptFigures.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise RunError(f"{path} holds no figures; make it again with: firstread-train keep") from error
