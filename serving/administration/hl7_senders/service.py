"""Says whose HL7 messages are taken, and for which site."""

from dataclasses import dataclass, replace
from ipaddress import ip_network

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.orders.charset import codec_of
from serving.orders.message_orders import PLACE
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.database import Database
from serving.store.hl7_senders import Hl7Sender, add_sender, read_senders, remove_sender
from serving.store.sites import has_site
from serving.store.tenancy import Scope

_EVERY_SITE = Scope(None)
_MOST_OF_A_NAME = 180


@dataclass(frozen=True)
class Hl7Senders:
    """Administers the senders."""

    database: Database
    trail: AuditTrail

    def all(self) -> list[Hl7Sender]:
        """Give every sender, in the order in which they were entered."""
        with self.database.reading() as connection:
            return read_senders(connection, scope=_EVERY_SITE)

    def enter(self, sender: Hl7Sender, *, who: Who) -> Hl7Sender:
        """Let a system send, for one site; its key is made here.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST`, `NOT_FOUND` if there is no such site, `CONFLICT` if it is entered already.
        """
        checked = _checked(sender)
        with self.trail.acting() as act:
            if not has_site(act.connection, checked.site):
                raise ServiceError(Problem.NOT_FOUND, f"There is no site {checked.site!r}.")
            for known in read_senders(act.connection, scope=_EVERY_SITE):
                if _identity(known) == _identity(checked):
                    raise ServiceError(
                        Problem.CONFLICT,
                        f"That is the sender {known.key} of the site {known.site!r}: remove it first.",
                    )
            entered = add_sender(act.connection, checked, created_by=who.name, now_us=self.trail.clock())
            act.record(self._event(entered, who, before=None, after=_described(entered)))
        return entered

    def remove(self, key: str, *, who: Who) -> Hl7Sender:
        """Let a system send no more; what it ordered stays.

        Raises
        ------
        ServiceError
            `NOT_FOUND`.
        """
        with self.trail.acting() as act:
            every = read_senders(act.connection, scope=_EVERY_SITE)
            found = next((one for one in every if one.key == key), None)
            if found is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is no sender {key!r}.")
            remove_sender(act.connection, key, site=found.site)
            act.record(self._event(found, who, before=_described(found), after=None))
        return found

    def _event(
        self, sender: Hl7Sender, who: Who, *, before: dict[str, str] | None, after: dict[str, str] | None
    ) -> AuditEvent:
        details = {"hl7_sender": sender.key, "before": before, "after": after}
        return AuditEvent(Action.PERMISSION_CHANGED, who, sender.site, self.trail.clock(), details=details)


def _checked(sender: Hl7Sender) -> Hl7Sender:
    try:
        network = ip_network(sender.network)
    except ValueError as error:
        raise ServiceError(Problem.INVALID_REQUEST, f"That is no address or network: {error}.") from error
    if network.prefixlen == 0:
        raise ServiceError(
            Problem.INVALID_REQUEST, "A network of every address would let anyone order: name a smaller one."
        )
    if sender.charset and codec_of(sender.charset) is None:
        raise ServiceError(
            Problem.INVALID_REQUEST,
            f"The character set {sender.charset!r} is not known: GBK, UTF-8 ...",
        )
    places = [place.strip().upper() for place in sender.accession.split(",") if place.strip()]
    if wrong := [place for place in places if PLACE.fullmatch(place) is None]:
        raise ServiceError(
            Problem.INVALID_REQUEST,
            f"{wrong[0]!r} is no place of an accession number: IPC-1, OBR-18 ...",
        )
    for name in (sender.application, sender.facility):
        if len(name) > _MOST_OF_A_NAME or not (name.isprintable()):
            raise ServiceError(Problem.INVALID_REQUEST, f"A name has at most {_MOST_OF_A_NAME} letters.")
    return replace(sender, network=str(network), accession=",".join(places))


def _identity(sender: Hl7Sender) -> tuple[str, str, str]:
    return sender.network, sender.application, sender.facility


def _described(sender: Hl7Sender) -> dict[str, str]:
    return {
        "site": sender.site,
        "network": sender.network,
        "application": sender.application,
        "facility": sender.facility,
        "charset": sender.charset,
        "accession": sender.accession,
    }
