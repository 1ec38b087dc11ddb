"""What can be wrong with a model, said so that the operator can mend it."""

from collections.abc import Sequence
from pathlib import Path

from data.errors import Reason


class ModelError(Exception):
    """Anything wrong with a model or with what it is asked to do."""

    def __reduce__(self) -> tuple[type["ModelError"], tuple[object, ...]]:
        """Cross a process border whole (the scoring pool sends errors back)."""
        return type(self), self._parts()

    def _parts(self) -> tuple[object, ...]:
        return self.args


class ArtifactError(ModelError):
    """A model's folder that may not be used as it is.

    Parameters
    ----------
    folder : Path
        The folder of the model's version.
    file : str
        The file within it; empty where the folder itself is meant.
    problem : str
        What was expected and what was found, in a clause.
    remedy : str
        What the operator can do, in a clause.

    Examples
    --------
    >>> print(ArtifactError(Path("derm/1"), "card.json", "has no calibration", "run calibrate"))
    derm/1/card.json has no calibration; run calibrate
    """

    def __init__(self, folder: Path, file: str, problem: str, remedy: str) -> None:
        self.folder = folder
        self.file = file
        self.problem = problem
        self.remedy = remedy
        super().__init__(f"{folder / file} {problem}; {remedy}")

    def _parts(self) -> tuple[object, ...]:
        return self.folder, self.file, self.problem, self.remedy


class ProviderError(ModelError):
    """The execution provider that was asked for is not the one that would run.

    Parameters
    ----------
    asked : sequence of str
        The providers asked for, in order.
    active : sequence of str
        Those that are there, or that the runtime put in their place.
    problem : str
        What happened, in a clause.
    """

    def __init__(self, asked: Sequence[str], active: Sequence[str], problem: str) -> None:
        self.asked = tuple(asked)
        self.active = tuple(active)
        self.problem = problem
        super().__init__(
            f"providers {', '.join(self.asked) or '(none)'} {problem}; there are "
            f"{', '.join(self.active) or 'none'}; ask for one of these, or install what the provider needs"
        )

    def _parts(self) -> tuple[object, ...]:
        return self.asked, self.active, self.problem


class InputError(ModelError):
    """A batch that is not what the model's input specification says."""


class OutputError(ModelError):
    """A network that failed, or gave what no result may rest on."""


class RecalibrationError(ModelError):
    """Labelled studies from which nothing may be fitted; says what is missing."""


class NoModelError(ModelError):
    """No model is in charge of a study.

    Parameters
    ----------
    study : str
        The study's UID, or its name as the sender knows it.
    problem : str
        Which study it is and what the models there are take, in a clause.
    """

    reason = Reason.NO_MODEL

    def __init__(self, study: str, problem: str) -> None:
        self.study = study
        self.problem = problem
        super().__init__(f"{self.reason}: {study} {problem}")

    def _parts(self) -> tuple[object, ...]:
        return self.study, self.problem
