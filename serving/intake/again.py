"""Takes in again what lay in the quarantine, by the way of every upload."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from data.dicom.files import is_dicom
from data.study import PatientContext
from serving.errors import Problem, ServiceError
from serving.intake.archive import FULL_DISK
from serving.intake.arrival import Arrival
from serving.intake.context import SenderContext
from serving.intake.door import Door
from serving.intake.service import Intake
from serving.intake.upload import FilesAtHand, UploadedFile
from serving.quarantine.retrying import Retaken
from serving.store.audit_chain import Who
from serving.store.objects import hash_file
from serving.worklist.policy import DoctorPriority


@dataclass(frozen=True)
class TakingAgain:
    """Has `intake` take a file of the quarantine (:class:`serving.quarantine.retrying.Retake`)."""

    intake: Intake

    def __call__(self, fill: Callable[[Path], None], *, name: str, site: str, who: Who) -> Retaken:
        """Have a file written by `fill` and taken in for a site; what is refused again is said.

        Of a DICOM study more may lie in the quarantine: it is scored once no more of it has come for a while.
        """
        folder = Path(tempfile.mkdtemp(dir=self.intake.spool))
        try:
            path = folder / "000001"
            fill(path)
            upload = FilesAtHand(folder, [UploadedFile(path, name, hash_file(path).sha256)])
            outcome = self.intake.take(
                upload,
                SenderContext(PatientContext(), DoctorPriority.ROUTINE),
                site=site,
                who=who,
                door=Door.QUARANTINE,
                arrival=Arrival.PART if is_dicom(path) else Arrival.WHOLE,
            )
        except OSError as error:
            if error.errno not in FULL_DISK:
                raise
            raise ServiceError(
                Problem.STORAGE_FULL, "The server's disk has no room for the file: tell its operator."
            ) from error
        except ServiceError as error:
            if error.problem is not Problem.NOTHING_TAKEN:
                raise
            return Retaken((), error.rejected)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        studies = tuple((study.key, study.uid) for study in outcome.studies)
        return Retaken(studies, outcome.rejected)
