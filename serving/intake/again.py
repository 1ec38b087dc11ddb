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
from serving.intake.upload import UploadedFile
from serving.quarantine.retrying import Retaken
from serving.store.audit_chain import Who
from serving.store.objects import hash_file
from serving.worklist.policy import DoctorPriority


class _Held:
    """A file of this machine in the place of an upload (:class:`serving.intake.upload.Received`)."""

    def __init__(self, folder: Path, fill: Callable[[Path], None], name: str) -> None:
        self.folder = folder
        path = folder / "000001"
        fill(path)
        self.files = [UploadedFile(path, name, hash_file(path).sha256)]

    def scratch(self) -> Path:
        """Make a folder for what comes out of archives."""
        folder = self.folder / "scratch"
        folder.mkdir()
        return folder

    def fingerprint(self) -> str:
        """Give the SHA-256 of what is taken."""
        return self.files[0].sha256


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
            upload = _Held(folder, fill, name)
            outcome = self.intake.take(
                upload,
                SenderContext(PatientContext(), DoctorPriority.ROUTINE),
                site=site,
                who=who,
                door=Door.QUARANTINE,
                arrival=Arrival.PART if is_dicom(upload.files[0].path) else Arrival.WHOLE,
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
