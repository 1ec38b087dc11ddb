"""A stored image as a DICOM file: the file itself, or the object that is made of a photograph."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.dicom.files import is_dicom
from data.dicom.photograph import PhotographFacts, photograph_object
from data.dicom.transcoding import Identity
from data.study import Modality, PatientContext, PatientIdentity, Sex
from serving.store.dicom_images import DicomImage
from serving.store.objects import ObjectStore
from serving.store.times import from_us


def identity_of(image: DicomImage) -> Identity:
    """Give the UIDs under which an image is kept."""
    return Identity(image.study.uid, image.instance.series_uid, image.instance.sop_instance_uid)


def facts_of(image: DicomImage) -> PhotographFacts:
    """Give what is known of a photograph besides its file."""
    study, instance = image.study, image.instance
    patient = PatientIdentity(study.issuer, study.patient, study.patient_name)
    return PhotographFacts(
        study_uid=study.uid,
        series_uid=instance.series_uid,
        sop_instance_uid=instance.sop_instance_uid,
        modality=Modality.of(instance.modality),
        received_at=from_us(study.received_at_us),
        n_frames=instance.n_frames,
        patient=patient if study.has_patient else None,
        context=PatientContext(
            age_years=study.age_years, sex=Sex(study.sex) if study.sex else None, body_site=study.body_site
        ),
        accession=study.accession,
        description=study.description,
    )


@contextmanager
def dicom_file(image: DicomImage, objects: ObjectStore) -> Iterator[Path]:
    """Give an image's DICOM file for as long as it is read.

    Raises
    ------
    ImageError
        If a photograph cannot be read.
    ServiceError
        `OBJECT_DAMAGED` if the stored file is not what was received.
    """
    path = objects.checked(image.instance.sha256)
    if is_dicom(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="firstread-") as folder:
        made = Path(folder) / "photograph.dcm"
        made.write_bytes(photograph_object(path, facts_of(image)))
        yield made
