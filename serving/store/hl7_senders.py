"""Whose HL7 messages are taken, and which of them were carried out already."""

import secrets
from dataclasses import dataclass
from ipaddress import ip_network

from sqlalchemy import Connection, delete, insert, select

from serving.network_addresses import plain_address
from serving.store.order_tables import hl7_messages, hl7_senders
from serving.store.tenancy import Scope, within
from serving.store.upserts import insert as insert_or

# Old messages are forgotten a few at a time, by those that come.
_FORGOTTEN_AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class Hl7Sender:
    """A system whose messages are taken; an empty name stands for any, other empty fields for the usual.

    `accession` says where its accession number stands, as ``IPC-1,OBR-18``.
    """

    key: str
    site: str
    network: str
    application: str
    facility: str
    charset: str
    accession: str

    def is_from(self, address: str) -> bool:
        """Whether an address is in its network."""
        return plain_address(address) in ip_network(self.network)

    def is_named(self, application: str, facility: str) -> bool:
        """Whether this is what a message calls its sender."""
        return self.application in {"", application} and self.facility in {"", facility}

    @property
    def precision(self) -> tuple[int, int]:
        """How closely it is described: of several that fit, the closest counts."""
        return (bool(self.application) + bool(self.facility), ip_network(self.network).prefixlen)


def add_sender(connection: Connection, sender: Hl7Sender, *, created_by: str, now_us: int) -> Hl7Sender:
    """Enter a sender; its key is made here."""
    key = secrets.token_hex(16)
    connection.execute(
        insert(hl7_senders).values(
            key=key,
            site_id=sender.site,
            network=sender.network,
            application=sender.application,
            facility=sender.facility,
            charset=sender.charset,
            accession=sender.accession,
            created_at=now_us,
            created_by=created_by,
        )
    )
    return Hl7Sender(
        key,
        sender.site,
        sender.network,
        sender.application,
        sender.facility,
        sender.charset,
        sender.accession,
    )


def read_senders(connection: Connection, *, scope: Scope) -> list[Hl7Sender]:
    """Give the senders of the sites in scope, in the order in which they were entered."""
    query = select(hl7_senders).where(within(scope, hl7_senders.c.site_id)).order_by(hl7_senders.c.id)
    return [
        Hl7Sender(
            row.key, row.site_id, row.network, row.application, row.facility, row.charset, row.accession
        )
        for row in connection.execute(query)
    ]


def remove_sender(connection: Connection, key: str, *, site: str) -> None:
    """Take a sender off the list."""
    connection.execute(delete(hl7_senders).where(hl7_senders.c.site_id == site, hl7_senders.c.key == key))


def is_carried_out(connection: Connection, *, site: str, sender: str, control_id: str, sha256: str) -> bool:
    """Whether this very message was carried out already; its number alone may be used anew."""
    query = select(hl7_messages.c.sha256).where(
        hl7_messages.c.site_id == site,
        hl7_messages.c.sender == sender,
        hl7_messages.c.control_id == control_id,
    )
    return connection.execute(query).scalar_one_or_none() == sha256


def note_carried_out(
    connection: Connection,
    *,
    site: str,
    sender: str,
    control_id: str,
    sha256: str,
    now_us: int,
    forget_before_us: int,
) -> None:
    """Write down that a message is carried out, in the transaction that does it; forget some old ones."""
    values = {"sha256": sha256, "received_at": now_us}
    statement = insert_or(connection, hl7_messages).values(
        site_id=site, sender=sender, control_id=control_id, **values
    )
    connection.execute(
        statement.on_conflict_do_update(index_elements=["site_id", "sender", "control_id"], set_=values)
    )
    old = (
        select(hl7_messages.c.id)
        .where(hl7_messages.c.received_at < forget_before_us)
        .order_by(hl7_messages.c.received_at)
        .limit(_FORGOTTEN_AT_ONCE)
    )
    connection.execute(delete(hl7_messages).where(hl7_messages.c.id.in_(old)))
