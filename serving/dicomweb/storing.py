"""Takes the instances of a STOW-RS request, and says of each what became of it.

They go the way of every upload: durable first, then one transaction, then the answer. The same bytes again
are stored already. Other bytes under a known UID are never written over it, and never lost: they fail as a
duplicate (0111H) and lie in the quarantine until somebody has looked at both.

References
----------
PS3.18 10.5.3 and table I.2-1 (store instances response), PS3.4 table B.2-1 and PS3.7 annex C (failure
reasons).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from data.dicom.files import is_dicom, open_object
from data.dicom.header import text_of
from data.dicom.json_model import JsonDataset, attribute_of
from data.dicom.writing import uid_of_digest
from data.errors import ImageError, Reason
from data.study import PatientContext
from serving.dicomweb.related_upload import RelatedUpload
from serving.dicomweb.service import Place
from serving.errors import Problem, Rejection, ServiceError
from serving.identity.caller import Caller
from serving.intake.context import SenderContext
from serving.intake.door import Door
from serving.intake.service import Intake
from serving.intake.upload import UploadedFile
from serving.store.dicom_images import KeptImage, find_kept
from serving.worklist.policy import DoctorPriority

OUT_OF_RESOURCES: Final = 0xA700
NOT_OF_THE_STUDY: Final = 0xA900
CANNOT_UNDERSTAND: Final = 0xC000
NO_SUCH_SYNTAX: Final = 0xC122
NO_SUCH_CLASS: Final = 0x0122
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE: Final = 0x0111
NO_ATTRIBUTE_VALUE: Final = 0x0121
NOT_AUTHORISED: Final = 0x0124
COERCED: Final = 0xB000

_FAILURE_OF: Final[Mapping[str, int]] = {
    Reason.EMPTY_FILE: CANNOT_UNDERSTAND,
    Reason.NOT_DICOM: CANNOT_UNDERSTAND,
    Reason.NOT_AN_IMAGE: CANNOT_UNDERSTAND,
    Reason.CORRUPT: CANNOT_UNDERSTAND,
    Reason.TRUNCATED: CANNOT_UNDERSTAND,
    Reason.UNSUPPORTED_ENCODING: NO_SUCH_SYNTAX,
    Reason.UNSUPPORTED_CONTENT: NO_SUCH_CLASS,
    Reason.NO_PIXELS: NO_SUCH_CLASS,
    Reason.TOO_MANY_PIXELS: OUT_OF_RESOURCES,
    Reason.TOO_MANY_FRAMES: OUT_OF_RESOURCES,
    Reason.TOO_MANY_FILES: OUT_OF_RESOURCES,
    Reason.TOO_MANY_BYTES: OUT_OF_RESOURCES,
    Reason.OTHER_STUDY: NOT_OF_THE_STUDY,
    Reason.DUPLICATE_UID: DUPLICATE,
    Reason.NO_PATIENT_ID: NO_ATTRIBUTE_VALUE,
    Reason.WRONG_SITE: NOT_AUTHORISED,
}


@dataclass(frozen=True, slots=True)
class Sent:
    """One instance as it was sent: what its header says, as far as it can be read."""

    name: str
    sha256: str
    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_uid: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a request: each instance stands in one of the two."""

    kept: tuple[tuple[Sent, KeptImage], ...]
    failed: tuple[tuple[Sent, Rejection], ...]

    @property
    def status(self) -> int:
        """200 if all were stored as they are, 202 if some were, or under another UID, 409 if none was."""
        if not self.kept:
            return 409
        is_coerced = any(_is_coerced(sent, image) for sent, image in self.kept)
        return 202 if self.failed or is_coerced else 200


def store(
    upload: RelatedUpload, intake: Intake, *, study_uid: str | None, site: str, caller: Caller
) -> Stored:
    """Take what has been written down.

    Parameters
    ----------
    upload : RelatedUpload
        Whole.
    intake : Intake
        Takes it as it takes every upload.
    study_uid : str or None
        The study that every instance must be of.
    site : str
        Whose they are.
    caller : Caller
        Who sends them; they need not be allowed to read.

    Raises
    ------
    ServiceError
        `MALFORMED_UPLOAD` if there is no instance; whatever keeps the service from storing anything.
    """
    if not upload.files:
        raise ServiceError(Problem.MALFORMED_UPLOAD, "The request holds no instance: send at least one.")
    sent = {item.name: _sent(item) for item in upload.files}

    refused = {
        item.path: error
        for item in upload.files
        if (error := _refusal(item, sent[item.name], study_uid)) is not None
    }
    try:
        outcome = intake.take(
            upload,
            SenderContext(PatientContext(), DoctorPriority.ROUTINE),
            site=site,
            who=caller.who,
            door=Door.STOW,
            refused=refused,
        )
    except ServiceError as error:
        if error.problem is not Problem.NOTHING_TAKEN:
            raise
        return Stored((), tuple((sent[line.file], line) for line in error.rejected if line.file in sent))
    # What has no UID is kept under one that is made of the hash; so, by earlier versions, was a duplicate.
    uids = {one.sop_instance_uid for one in sent.values()}
    uids |= {uid_of_digest(bytes.fromhex(one.sha256)) for one in sent.values()}
    with intake.database.reading() as connection:
        kept = find_kept(
            connection, site=site, study_keys=[study.key for study in outcome.studies], uids=sorted(uids)
        )
    taken = [sent[name] for study in outcome.studies for name in study.files if name in sent]
    return Stored(
        tuple((one, kept[one.sha256]) for one in taken),
        tuple((sent[line.file], line) for line in outcome.rejected if line.file in sent),
    )


def _refusal(item: UploadedFile, sent: Sent, study_uid: str | None) -> ImageError | None:
    """Say why a part is no instance of what the address names, None if it may be one."""
    if item.path.stat().st_size and not is_dicom(item.path):
        return ImageError(item.name, Reason.NOT_DICOM, "is not a DICOM file", "send DICOM files alone")
    if study_uid is not None and sent.study_uid != study_uid:
        problem = f"is not of the study {study_uid} that the address names"
        return ImageError(item.name, Reason.OTHER_STUDY, problem, "send it to the address without a study")
    return None


def _sent(item: UploadedFile) -> Sent:
    try:
        with open_object(item.path) as opened:
            dataset = opened.dataset
            return Sent(
                item.name,
                item.sha256,
                text_of(dataset, "SOPClassUID"),
                text_of(dataset, "SOPInstanceUID"),
                text_of(dataset, "StudyInstanceUID"),
            )
    except ImageError:
        return Sent(item.name, item.sha256)


def _is_coerced(sent: Sent, image: KeptImage) -> bool:
    """Whether an instance is kept under another UID than the one it was sent with."""
    own = sent.sop_instance_uid, sent.study_uid
    return any(
        given and given != kept
        for given, kept in zip(own, (image.sop_instance_uid, image.study_uid), strict=True)
    )


def model_of(stored: Stored, base_url: str) -> JsonDataset:
    """Put what became of a request into the DICOM JSON model."""
    studies = sorted({image.study_uid for _, image in stored.kept})
    model: JsonDataset = {}
    if len(studies) == 1:
        model["00081190"] = attribute_of("UR", f"{base_url}/{Place(studies[0]).path}")
    named = [(sent, line) for sent, line in stored.failed if sent.sop_instance_uid]
    unnamed = [line for sent, line in stored.failed if not sent.sop_instance_uid]
    if named:
        model["00081198"] = _sequence(
            [
                {
                    "00081150": attribute_of("UI", sent.sop_class_uid),
                    "00081155": attribute_of("UI", sent.sop_instance_uid),
                    "00081197": attribute_of("US", failure_of(line)),
                }
                for sent, line in named
            ]
        )
    if stored.kept:
        model["00081199"] = _sequence([_reference(sent, image, base_url) for sent, image in stored.kept])
    if unnamed:
        model["0008119A"] = _sequence(
            [{"00081197": attribute_of("US", failure_of(line))} for line in unnamed]
        )
    return model


def _reference(sent: Sent, image: KeptImage, base_url: str) -> JsonDataset:
    place = Place(image.study_uid, image.series_uid, image.sop_instance_uid)
    reference: JsonDataset = {
        "00081150": attribute_of("UI", image.sop_class_uid or sent.sop_class_uid),
        "00081155": attribute_of("UI", image.sop_instance_uid),
        "00081190": attribute_of("UR", f"{base_url}/{place.path}"),
    }
    if _is_coerced(sent, image):
        reference["00081196"] = attribute_of("US", COERCED)
    return reference


def failure_of(line: Rejection) -> int:
    """Give the failure reason of an instance that was not taken."""
    return _FAILURE_OF.get(line.reason, PROCESSING_FAILURE)


def _sequence(items: Sequence[JsonDataset]) -> dict[str, object]:
    return {"vr": "SQ", "Value": list(items)}
