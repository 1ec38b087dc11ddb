"""Who is at the other end of an association, and what stands between us."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from serving.audit.trail import AuditTrail
from serving.dicomweb.service import DicomWeb
from serving.dimse.association import Association
from serving.dimse.line import Patience
from serving.identity.caller import Caller, Role, SignedInBy
from serving.intake.service import Intake
from serving.store.audit_chain import ActorKind, Who
from serving.store.devices import Device, Service
from serving.store.tenancy import Scope


@dataclass(frozen=True)
class Terms:
    """What holds for every association.

    Parameters
    ----------
    title : str
        The service's own AE title.
    most_associations, most_of_a_device : int
        So many may stand at once, over all and of one device.
    max_length : int
        The longest P-DATA that may come, in bytes.
    most_bytes_of_an_instance : int
        A longer one is refused.
    patience : Patience
        How long the other side is waited for.
    """

    title: str = "FIRSTREAD"
    most_associations: int = 100
    most_of_a_device: int = 32
    max_length: int = 256 * 1024
    most_bytes_of_an_instance: int = 4 * 1024**3
    patience: Patience = field(default_factory=Patience)


@dataclass(frozen=True)
class Parts:
    """What the services of an association work with; `calling` opens an association to a device."""

    intake: Intake
    dicomweb: DicomWeb
    trail: AuditTrail
    terms: Terms
    calling: Callable[..., Association]
    figures: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Peer:
    """A device on an association that was granted.

    `takes` are the classes whose instances it takes on this association, as the user of a C-GET.
    """

    device: Device
    caller: Caller
    association: Association
    takes: frozenset[str] = frozenset()

    def may(self, service: Service) -> bool:
        """Whether it may ask for something."""
        return service in self.device.services


def caller_of(device: Device, *, address: str, certificate: str | None) -> Caller:
    """Give a device as one who asks: it sees its own site alone."""
    who = Who(ActorKind.DEVICE, device.title, certificate, address)
    return Caller(
        who,
        frozenset({Role.SERVICE}),
        Scope.of(device.site),
        device.site,
        signed_in_by=SignedInBy.CERTIFICATE if certificate else SignedInBy.NOTHING,
    )
