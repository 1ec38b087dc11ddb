"""A run's folder: what went in, how far it is, what came out.

``recipe.json`` and ``run.json`` say what was run on what; ``checkpoint.safetensors`` is where it stands,
``best.safetensors`` the weights of the best epoch, ``metrics.jsonl`` a line for each epoch, ``log.txt`` what
it said. The folder of a crossed recipe holds one such folder for each fold, ``fold-0`` and on, one for the
network that ships, ``refit``, and what the folds give together.
"""

import json
import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from training.dataset import LabelledSet
from training.errors import RunError
from training.recipe import Recipe
from training.saving import replacing, saving

PACKAGES = ("firstread", "torch", "torchvision", "numpy", "pillow")


@dataclass(frozen=True)
class Run:
    """The paths in a run's folder."""

    folder: Path

    def of_fold(self, fold: int) -> "Run":
        """Give the run of one fold of a crossed recipe."""
        return Run(self.folder / f"fold-{fold}")

    @property
    def refit(self) -> "Run":
        """The run of the network that ships of a crossed recipe."""
        return Run(self.folder / "refit")

    @property
    def facts(self) -> Path:
        """What was run on what."""
        return self.folder / "run.json"

    @property
    def checkpoint(self) -> Path:
        """Where the run stands."""
        return self.folder / "checkpoint.safetensors"

    @property
    def best(self) -> Path:
        """The weights of the best epoch."""
        return self.folder / "best.safetensors"

    @property
    def metrics(self) -> Path:
        """A line of JSON for each epoch."""
        return self.folder / "metrics.jsonl"

    @property
    def log(self) -> Path:
        """What the run said, line by line, over all the times it was continued."""
        return self.folder / "log.txt"

    def predictions(self, part: str) -> Path:
        """What the best weights give for a part of the split: ``train``, ``validation`` or ``test``."""
        return self.folder / f"predictions-{part}.npz"

    @property
    def is_evaluated(self) -> bool:
        """Whether what is kept of the test folds comes from the weights as they are now."""
        predictions = self.predictions("test")
        return predictions.exists() and predictions.stat().st_mtime_ns >= self.best.stat().st_mtime_ns

    @property
    def evaluation(self) -> Path:
        """The figures on the test folds."""
        return self.folder / "evaluation.json"

    @property
    def calibration(self) -> Path:
        """Temperature and operating points."""
        return self.folder / "calibration.json"

    @property
    def models(self) -> Path:
        """The folder of models that an export goes to by default."""
        return self.folder / "models"

    def open_for(self, recipe: Recipe, labelled: LabelledSet, device: torch.device) -> None:
        """Make the folder, or check that it is this recipe's on this data.

        Raises
        ------
        RunError
            If the folder holds a run of another recipe or of other data.
        """
        facts = {
            "recipe": recipe.name,
            "fit_sha256": recipe.fit_sha256,
            "split_sha256": labelled.split_sha256,
            "n_images": len(labelled.images),
        }
        if self.facts.exists():
            self._check(facts)
            return
        with saving(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        started = {
            **facts,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seed": recipe.seed,
            "device": str(device),
            "n_threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "versions": {package: version(package) for package in PACKAGES},
        }
        write_json(self.folder / "recipe.json", recipe.model_dump(mode="json"))
        write_json(self.facts, started)

    def check_is_of(self, recipe: Recipe, labelled: LabelledSet) -> None:
        """Raise RunError unless the folder holds a run of this recipe on this data."""
        if not self.facts.exists():
            raise RunError(f"{self.folder} holds no run; start one with: firstread-train fit")
        self._check({"fit_sha256": recipe.fit_sha256, "split_sha256": labelled.split_sha256})

    def _check(self, facts: dict[str, Any]) -> None:
        stored = read_json(self.facts)
        meaning = {"fit_sha256": "of another recipe", "split_sha256": "on other data or another split"}
        for key, phrase in meaning.items():
            if stored.get(key) != facts[key]:
                raise RunError(f"{self.folder} holds a run {phrase}; choose another folder with --run")


def versions() -> str:
    """Name the packages that decide what a run gives, with their versions."""
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return f"python {platform.python_version()}, {packages}"


def write_json(path: Path, content: object) -> None:
    """Write JSON so that `path` is whole at any moment."""
    with replacing(path) as file:
        file.write((json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    RunError
        If the file is missing or no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise RunError(f"{path} is no JSON: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path} holds no JSON object")
    return content
