"""What the tests of the quarantine send, and what they look at afterwards."""

import io
from collections.abc import Mapping
from pathlib import Path

import pydicom
from sqlalchemy import select

from serving.quarantine.admission import Admission
from serving.store.quarantine import Entry, Sought, list_entries
from serving.store.quarantine_tables import quarantine
from serving.store.tenancy import Scope
from tests.serving.dicomweb.sent import ct
from tests.serving.service_in_process import Service

EVERY = Scope(None)


def written(dataset: pydicom.Dataset) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def image_of_ct(folder: Path, *, patient_id: str = "P1", **facts: str) -> pydicom.Dataset:
    (path,) = ct(folder, n_slices=1, **facts)
    dataset = pydicom.dcmread(path)
    dataset.PatientID = patient_id
    return dataset


def without_pixels(folder: Path) -> bytes:
    dataset = image_of_ct(folder)
    del dataset.PixelData
    return written(dataset)


def commented(dataset: pydicom.Dataset, comment: str) -> bytes:
    """Give other bytes of the same image."""
    dataset.ImageComments = comment
    return written(dataset)


def entries(service: Service, sought: Sought = Sought(state=None)) -> list[Entry]:
    with service.database.reading() as connection:
        return list_entries(connection, sought, scope=EVERY, limit=1000)


def bytes_of(service: Service, entry: Entry) -> bytes:
    assert entry.object_sha256 is not None
    return b"".join(service.objects.get(entry.object_sha256))


def n_rows(service: Service) -> int:
    with service.database.reading() as connection:
        return len(connection.execute(select(quarantine.c.id)).all())


def allow(service: Service, *demands: str, issuers: Mapping[str, str] | None = None) -> None:
    """Have the service demand a patient's identifier of some, and know whose issuers are."""
    admission = Admission({"local": demands}, issuers or {})
    object.__setattr__(service.intake, "admission", admission)
