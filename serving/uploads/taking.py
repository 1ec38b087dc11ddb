"""Takes a batch that its sender called whole, once, however often and by whomever that is tried."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from pydantic import TypeAdapter

from serving.errors import Problem, Rejection, ServiceError
from serving.intake.context import read_context
from serving.intake.door import Door
from serving.intake.service import Intake, Outcome
from serving.store.tenancy import Scope
from serving.store.uploads import StoredBatch, answer_batch, files_of, find_batch
from serving.uploads.batch_files import gathered
from serving.uploads.kept import KeptFiles
from serving.uploads.writing import as_who

log = logging.getLogger(__name__)

_OUTCOME = TypeAdapter(Outcome)


@dataclass(frozen=True)
class Taking:
    """Hands batches on to the intake."""

    intake: Intake
    kept: KeptFiles

    def take(self, batch: StoredBatch) -> Outcome:
        """Take a batch that is closing, or tell again what its sender was told.

        Raises
        ------
        ServiceError
            `NOTHING_TAKEN` if no file of it could be taken, now or before; `UPLOAD_BUSY` if another request
            is at it; whatever keeps the service from taking anything now, and then it is tried again later.
        """
        with self.kept.alone_at(f"batch-{batch.id}"):
            batch = self._as_it_is(batch)
            if batch.state != "closing":
                return told(batch)
            return self._take(batch)

    def give_up(self, batch: StoredBatch, error: ServiceError) -> None:
        """End a batch that could not be taken for as long as it was to be kept."""
        self._refuse(batch, error)

    def _take(self, batch: StoredBatch) -> Outcome:
        intake = self.intake
        with intake.database.reading() as connection:
            files = files_of(connection, batch)
        assert batch.said_by is not None
        try:
            with gathered(files, self.kept, spool=intake.spool) as upload:
                outcome = intake.take(
                    upload,
                    read_context(batch.fields),
                    site=batch.site,
                    who=as_who(batch.said_by),
                    door=Door.RESUMABLE,
                    idempotency_key=f"uploads/{batch.take_key}",
                )
        except ServiceError as error:
            if error.problem is not Problem.NOTHING_TAKEN:
                raise
            self._refuse(batch, error)
            self._remove(batch)
            raise
        outcome = replace(outcome, is_repeat=False)
        with intake.database.writing() as connection:
            answer = _OUTCOME.dump_python(outcome, mode="json")
            answer_batch(connection, batch, answer=answer, now_us=intake.clock())
        self._remove(batch)
        return outcome

    def _as_it_is(self, batch: StoredBatch) -> StoredBatch:
        with self.intake.database.reading() as connection:
            found = find_batch(connection, scope=Scope.of(batch.site), owner=batch.owner, key=batch.key)
        assert found is not None
        return found

    def _refuse(self, batch: StoredBatch, error: ServiceError) -> None:
        problem = {
            "code": str(error.problem),
            "detail": error.detail,
            "rejected": [asdict(line) for line in error.rejected],
        }
        with self.intake.database.writing() as connection:
            answer_batch(connection, batch, problem=problem, now_us=self.intake.clock())

    def _remove(self, batch: StoredBatch) -> None:
        with self.intake.database.reading() as connection:
            files = files_of(connection, batch)
        for upload in files:
            self.kept.remove(upload.key)


def told(batch: StoredBatch) -> Outcome:
    """Give the answer that was given to a batch, or raise the problem.

    Raises
    ------
    ServiceError
        `NOTHING_TAKEN`, or `UPLOAD_GONE` if nobody ended it in time.
    """
    if batch.answer is not None:
        return replace(_OUTCOME.validate_python(batch.answer), is_repeat=True)
    if batch.problem is not None:
        raise problem_of(batch.problem)
    raise ServiceError(
        Problem.UPLOAD_GONE,
        "This batch was not gone on with in time, and its bytes are gone: send its files anew.",
    )


def problem_of(kept: Mapping[str, object]) -> ServiceError:
    """Make the error that was kept."""
    lines = kept["rejected"]
    assert isinstance(lines, list)
    return ServiceError(
        Problem(str(kept["code"])), str(kept["detail"]), [Rejection(**line) for line in lines]
    )
