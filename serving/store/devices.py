"""The devices that may call by DICOM's own network: by their AE titles, each of one site."""

import secrets
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, Row, delete, insert, select

from serving.store.device_tables import devices
from serving.store.tenancy import Scope, within


class Service(StrEnum):
    """What a device may ask for; every one may ask whether the service is there."""

    STORE = "store"
    QUERY = "query"
    RETRIEVE = "retrieve"
    COMMIT = "commit"


@dataclass(frozen=True, slots=True)
class Device:
    """A device as it is known.

    Parameters
    ----------
    site : str
        Whose it is: what it sends is that site's, and it finds that site's alone.
    title : str
        The AE title by which it calls, and is called.
    called_title : str
        The title under which it may call the service; empty: the service's own.
    host : str
        Where it is called itself, empty if it cannot be.
    services : frozenset of str
        What it may ask for.
    fingerprint : str
        SHA-256 of the certificate that it must show; empty: it need not.
    """

    site: str
    title: str
    services: frozenset[str]
    called_title: str = ""
    host: str = ""
    port: int | None = None
    is_called_by_tls: bool = False
    fingerprint: str = ""
    key: str = ""


def find_device(connection: Connection, title: str, *, scope: Scope) -> Device | None:
    """Give the device of a title, None if there is none in the scope."""
    query = select(devices).where(within(scope, devices.c.site_id), devices.c.title == title)
    row = connection.execute(query).first()
    return None if row is None else _device(row)


def read_devices(connection: Connection, *, scope: Scope) -> list[Device]:
    """Give the devices in the scope, by title."""
    query = select(devices).where(within(scope, devices.c.site_id)).order_by(devices.c.title)
    return [_device(row) for row in connection.execute(query)]


def add_device(connection: Connection, device: Device, *, created_by: str, now_us: int) -> str:
    """Enter a device; gives its key."""
    key = secrets.token_hex(16)
    connection.execute(
        insert(devices).values(
            key=key,
            site_id=device.site,
            title=device.title,
            called_title=device.called_title,
            host=device.host,
            port=device.port,
            is_called_by_tls=device.is_called_by_tls,
            services=",".join(sorted(device.services)),
            fingerprint=device.fingerprint,
            created_at=now_us,
            created_by=created_by,
        )
    )
    return key


def remove_device(connection: Connection, key: str, *, scope: Scope) -> None:
    """Forget a device."""
    connection.execute(delete(devices).where(within(scope, devices.c.site_id), devices.c.key == key))


def _device(row: Row[*tuple[object, ...]]) -> Device:
    return Device(
        site=row.site_id,
        title=row.title,
        services=frozenset(row.services.split(",")) - {""},
        called_title=row.called_title,
        host=row.host,
        port=row.port,
        is_called_by_tls=row.is_called_by_tls,
        fingerprint=row.fingerprint,
        key=row.key,
    )
