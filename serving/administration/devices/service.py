"""Says which devices may call by DICOM's own network, of which site each is, and what it may ask for."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from serving.audit.trail import AuditTrail
from serving.errors import Problem, ServiceError
from serving.identity.certificates import plain_fingerprint
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.database import Database
from serving.store.devices import Device, Service, add_device, find_device, read_devices, remove_device
from serving.store.sites import find_site
from serving.store.tenancy import Scope

# What PS3.5 6.2 allows in an AE title, but for space within it, which people cannot see at its ends.
_TITLE: Final = re.compile(r"[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?")
_HOST: Final = re.compile(r"[0-9A-Za-z:][0-9A-Za-z.:_-]{0,252}")


@dataclass(frozen=True)
class Devices:
    """Administers devices."""

    database: Database
    trail: AuditTrail

    def all(self, *, scope: Scope) -> list[Device]:
        """Give the devices of the sites in scope, by title."""
        with self.database.reading() as connection:
            return read_devices(connection, scope=scope)

    def enter(self, device: Device, *, who: Who) -> Device:
        """Let a device call.

        Raises
        ------
        ServiceError
            `INVALID_REQUEST` if what is said of it is nothing, `NOT_FOUND` if there is no such site,
            `CONFLICT` if its title is another's.
        """
        device = _checked(device)
        with self.trail.acting() as act:
            if find_site(act.connection, device.site) is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is no site {device.site!r}.")
            if find_device(act.connection, device.title, scope=Scope(None)) is not None:
                raise ServiceError(
                    Problem.CONFLICT,
                    f"There is a device {device.title!r} already: take another title.",
                )
            key = add_device(act.connection, device, created_by=who.name, now_us=self.trail.clock())
            entered = replace(device, key=key)
            self._record(act.record, entered, who, before=None, after=_described(entered))
        return entered

    def remove(self, key: str, *, who: Who, scope: Scope) -> Device:
        """Let a device call no more; an association that stands goes on until it ends.

        Raises
        ------
        ServiceError
            `NOT_FOUND`.
        """
        with self.trail.acting() as act:
            known = read_devices(act.connection, scope=scope)
            found = next((one for one in known if key in {one.key, one.title}), None)
            if found is None:
                raise ServiceError(Problem.NOT_FOUND, f"There is no device {key!r}.")
            remove_device(act.connection, found.key, scope=scope)
            self._record(act.record, found, who, before=_described(found), after=None)
        return found

    def _record(
        self,
        record: Callable[[AuditEvent], object],
        device: Device,
        who: Who,
        *,
        before: dict[str, object] | None,
        after: dict[str, object] | None,
    ) -> None:
        details = {"device": device.key, "title": device.title, "before": before, "after": after}
        record(AuditEvent(Action.PERMISSION_CHANGED, who, device.site, self.trail.clock(), details=details))


def _checked(device: Device) -> Device:
    for title in {device.title, device.called_title or device.title}:
        if _TITLE.fullmatch(title) is None:
            raise ServiceError(
                Problem.INVALID_REQUEST,
                f"{title!r} is no AE title: 1 to 16 letters, digits and signs of ASCII, no backslash.",
            )
    if (device.host == "") != (device.port is None):
        raise ServiceError(
            Problem.INVALID_REQUEST, "Where a device is called is a host and a port: name both, or neither."
        )
    if device.host and (_HOST.fullmatch(device.host) is None or not 1 <= (device.port or 0) <= 0xFFFF):
        raise ServiceError(
            Problem.INVALID_REQUEST, f"{device.host!r}, port {device.port}, is nowhere that can be called."
        )
    if not device.services or not device.services <= set(Service):
        raise ServiceError(
            Problem.INVALID_REQUEST, f"A device may ask for some of {', '.join(Service)}: name at least one."
        )
    try:
        fingerprint = plain_fingerprint(device.fingerprint) if device.fingerprint else ""
    except ValueError as error:
        raise ServiceError(Problem.INVALID_REQUEST, f"That is no fingerprint: {error}.") from error
    return replace(device, fingerprint=fingerprint, services=frozenset(str(one) for one in device.services))


def _described(device: Device) -> dict[str, object]:
    return {
        "called": device.called_title,
        "host": device.host,
        "port": device.port,
        "called_by_tls": device.is_called_by_tls,
        "services": sorted(device.services),
        "fingerprint": device.fingerprint,
    }
