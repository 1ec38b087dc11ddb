"""Has devices call by DICOM's own network for as long as the service runs, if a port is named for it."""

import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from serving.audit.trail import AuditTrail
from serving.dicom_settings import DicomSettings
from serving.dicomweb.service import DicomWeb
from serving.dimse.calling import Calling
from serving.dimse.entity import Entity
from serving.dimse.line import Patience
from serving.dimse.listener import Listener, open_listener
from serving.dimse.peer import Parts, Terms
from serving.errors import StartError
from serving.hosting.server import is_loopback
from serving.hosting.tls import load_files, server_context
from serving.intake.pace import Pace
from serving.intake.service import Intake
from serving.operations.dicom import DicomFigures

# Of the time that a stop may take, beside the HTTP server's.
_SECONDS_TO_STOP = 10.0


@dataclass(frozen=True)
class DicomDoor:
    """Where devices call."""

    listener: Listener
    title: str
    host: str
    is_tls: bool

    @property
    def address(self) -> str:
        """What a person enters at a device."""
        return f"{self.title}@{self.host}:{self.listener.port}{' (TLS)' if self.is_tls else ''}"

    def figures(self) -> DicomFigures:
        """Say how it goes."""
        entity = self.listener.entity
        return DicomFigures(
            title=self.title,
            port=self.listener.port,
            is_tls=self.is_tls,
            is_listening=self.listener.is_listening,
            n_associations=entity.n_associations,
            counts=dict(entity.parts.figures),
        )


@contextmanager
def dicom_door(
    settings: DicomSettings, *, intake: Intake, dicomweb: DicomWeb, trail: AuditTrail
) -> Iterator[DicomDoor | None]:
    """Listen for devices, None if that is not asked for.

    Raises
    ------
    StartError
        If the port cannot be had, or what devices send could be read on the way and that was not asked for.
    """
    if settings.dicom_port is None:
        yield None
        return
    tls = server_tls(settings)
    if tls is None and not is_loopback(settings.dicom_host) and not settings.dicom_in_the_clear:
        raise StartError(
            f"{settings.dicom_host} can be called by other machines, and images could be read on the way: "
            "name FIRSTREAD_DICOM_TLS_CERTIFICATE, or set FIRSTREAD_DICOM_IN_THE_CLEAR where nobody listens."
        )
    terms = terms_of(settings)
    calling = Calling(terms.title, terms.patience, terms.max_length, client_tls(settings))
    parts = Parts(intake, dicomweb, trail, terms, calling, Counter())
    socket = open_listener(settings.dicom_host, settings.dicom_port)
    listener = Listener(socket, Entity(parts), tls=tls)
    listener.start()
    try:
        yield DicomDoor(listener, terms.title, settings.dicom_host, tls is not None)
    finally:
        listener.stop(_SECONDS_TO_STOP)


def terms_of(settings: DicomSettings) -> Terms:
    """Give what holds for every association."""
    return Terms(
        title=settings.dicom_title,
        most_associations=settings.dicom_associations,
        most_of_a_device=settings.dicom_associations_of_a_device,
        max_length=settings.dicom_max_pdu_bytes,
        most_bytes_of_an_instance=settings.dicom_max_instance_bytes,
        patience=Patience(
            settings.dicom_handshake_s,
            settings.dicom_idle_s,
            Pace(start_s=30.0, min_bytes_per_s=settings.dicom_min_bytes_per_s),
        ),
    )


def server_tls(settings: DicomSettings) -> Callable[[], ssl.SSLContext] | None:
    """Give the context in which devices call, None if they call in the clear.

    Raises
    ------
    StartError
        If a file cannot be read or holds something else.
    """
    if settings.dicom_tls_certificate is None:
        return None
    context = server_context(settings.dicom_tls_client_certificates)
    _load(context, settings)
    return lambda: context


def client_tls(settings: DicomSettings) -> Callable[[], ssl.SSLContext]:
    """Give the context in which devices are called: by the authorities named, else those of the machine."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.dicom_tls_client_ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, settings)
    return lambda: context


def _load(context: ssl.SSLContext, settings: DicomSettings) -> None:
    load_files(
        context,
        "FIRSTREAD_DICOM_TLS",
        certificate=settings.dicom_tls_certificate,
        key=settings.dicom_tls_key,
        client_ca=settings.dicom_tls_client_ca,
    )
