"""Chooses the model for each study and scores with it; sessions are opened once and kept."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter

from data.errors import ImageError, Reason
from data.study import Study
from models.artifact import Artifact
from models.errors import ModelError, NoModelError
from models.registry import Registry
from models.runtime import CPU, Session
from models.suitability import why_not
from serving.scoring.gathering import Runs
from serving.scoring.result import ModelIdentity, StudyScore, rejected_score
from serving.scoring.score import identity, score_study


class Scorer:
    """Scores studies in this process.

    Parameters
    ----------
    models : Registry or sequence of Path
        The models, or their folders.
    providers : sequence of str or None
        Execution providers asked for; None takes the CPU.
    before : callable
        Gives what stands before each session, such as :class:`serving.scoring.gathering.Gathering`.
    """

    def __init__(
        self,
        models: Registry | Sequence[Path],
        *,
        providers: Sequence[str] | None = None,
        before: Callable[[Session], Runs] = lambda session: session,
    ) -> None:
        self._registry = models if isinstance(models, Registry) else Registry(models)
        self._providers = tuple(providers or (CPU,))
        self._before = before
        self._opening = threading.Lock()
        self._opened: dict[str, tuple[Runs, ModelIdentity]] = {}

    def score(self, study: Study, model: str | None = None) -> StudyScore:
        """Score a study; what a study or a model can have wrong becomes a score with the status `REJECTED`.

        Parameters
        ----------
        study : Study
            Its frames are read here.
        model : str or None
            ``NAME`` or ``NAME@VERSION``; None takes the one in charge.
        """
        started = perf_counter()
        used: ModelIdentity | None = None
        try:
            session, used = self._open(self._choose(study, model))
            return score_study(study, session, used)
        except ImageError as error:
            failure = error
        except NoModelError as error:
            failure = ImageError(
                _source(study),
                Reason.NO_MODEL,
                error.problem,
                "add a model that takes it, or read it unscored",
            )
        except (ModelError, MemoryError) as error:
            failure = ImageError(
                _source(study),
                Reason.MODEL_FAILED,
                f"could not be scored ({type(error).__name__}: {error})",
                "read it unscored, and tell the operator",
            )
        return rejected_score(study, failure, elapsed_ms=(perf_counter() - started) * 1000, model=used)

    def _open(self, artifact: Artifact) -> tuple[Runs, ModelIdentity]:
        with self._opening:
            if artifact.label not in self._opened:
                session = Session(artifact, providers=self._providers, threads=1)
                self._opened[artifact.label] = self._before(session), identity(session)
            return self._opened[artifact.label]

    def _choose(self, study: Study, model: str | None) -> Artifact:
        if model is None:
            return self._registry.in_charge_of(study)
        name, _, version = model.partition("@")
        artifact = self._registry.get(name, version or None)
        if misfit := why_not(study, artifact.card.applies_to, is_named=True):
            raise NoModelError(study.uid, f"is not for {artifact.label}, which {misfit}")
        return artifact


def _source(study: Study) -> Path | str:
    return study.paths[0] if study.paths else study.uid
