"""A service of one process that devices call, for tests: the real parts, a port of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from serving.administration.devices.service import Devices
from serving.audit.opening import operator
from serving.dicomweb.service import DicomWeb
from serving.dimse.calling import Calling
from serving.dimse.entity import Entity
from serving.dimse.line import Patience
from serving.dimse.listener import Listener, open_listener
from serving.dimse.peer import Parts, Terms
from serving.intake.pace import Pace
from serving.intake.upload import UploadLimits
from serving.store.devices import Device, Service
from serving.studies.rendering import Renderer
from tests.serving.service_in_process import MEBIBYTE, in_process
from tests.serving.service_in_process import Service as InProcess

ALL = frozenset(str(one) for one in Service)
QUICK = Terms(patience=Patience(handshake_s=5.0, idle_s=20.0, pace=Pace(start_s=10.0)))
LIMITS = UploadLimits(64 * MEBIBYTE, 60, 0)


@dataclass
class Called:
    """The service, and where it is called."""

    service: InProcess
    listener: Listener
    parts: Parts
    devices: Devices

    @property
    def port(self) -> int:
        return self.listener.port

    def let_in(self, title: str, **said: object) -> Device:
        """Enter a device of the local site that may do everything, but for what is said otherwise."""
        device = Device(**({"site": "local", "title": title, "services": ALL} | said))  # type: ignore[arg-type]
        return self.devices.enter(device, who=operator())


@contextmanager
def called(
    folder: Path,
    *,
    terms: Terms = QUICK,
    limits: UploadLimits = LIMITS,
    tls: object = None,
) -> Iterator[Called]:
    """Run a service that a device of the title SENDER may call."""
    folder.mkdir(parents=True, exist_ok=True)
    with in_process(folder, limits=limits) as service:
        dicomweb = DicomWeb(service.database, service.objects, service.trail, Renderer(service.objects))
        parts = Parts(
            service.intake, dicomweb, service.trail, terms, Calling(terms.title, patience=terms.patience)
        )
        listener = Listener(open_listener("127.0.0.1", 0), Entity(parts), tls=tls)  # type: ignore[arg-type]
        running = Called(service, listener, parts, Devices(service.database, service.trail))
        running.let_in("SENDER")
        listener.start()
        try:
            yield running
        finally:
            listener.stop(2.0)
