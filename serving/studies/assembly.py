"""Makes a study of stored files again, so that it can be scored or looked at.

What was read at intake is not stored twice: the files themselves say how they belong together.
"""

from dataclasses import replace
from pathlib import Path

from data.dicom.files import is_dicom
from data.dicom.grouping import read_studies
from data.errors import ImageError, Reason
from data.photo import read_photo
from data.study import Change, Duration, Instance, PatientContext, Sex, Study
from serving.store.objects import ObjectStore
from serving.store.studies import StoredInstance, StoredStudy


def assemble(stored: StoredStudy, objects: ObjectStore) -> Study:
    """Read the headers of a study's files; its pixels are read when someone asks.

    Raises
    ------
    ImageError
        If its files no longer make one study.
    ServiceError
        `OBJECT_DAMAGED` if a stored file is not what was received.
    """
    study = _only_study([objects.checked(item.sha256) for item in stored.instances], stored.key)
    context = PatientContext(
        age_years=stored.age_years,
        sex=Sex(stored.sex) if stored.sex else None,
        body_site=stored.body_site,
        skin_type=stored.skin_type,
        clinical_question=stored.clinical_question,
        duration=Duration(stored.duration) if stored.duration else None,
        changes=tuple(Change(one) for one in stored.changes),
        change_note=stored.change_note,
        ignored=study.context.ignored,
    )
    return replace(study, context=context)


def assemble_instance(stored: StoredInstance, objects: ObjectStore) -> Instance:
    """Read the header of one stored file."""
    study = _only_study([objects.checked(stored.sha256)], stored.file_name)
    return study.series[0].instances[0]


def _only_study(paths: list[Path], name: str) -> Study:
    if all(is_dicom(path) for path in paths):
        studies, errors = read_studies(paths)
        if errors:
            error = errors[0]
            raise ImageError(name, error.reason, error.problem, error.remedy)
        if len(studies) == 1:
            return studies[0]
    elif len(paths) == 1:
        return read_photo(paths[0])
    raise ImageError(name, Reason.CORRUPT, "is no longer one study", "send its images again")
