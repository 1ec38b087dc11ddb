"""The table of the devices that speak DICOM with the service: who they are, whose, and what they may."""

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, ForeignKey, Integer, String, Table, Text

from serving.store.tables import Key, metadata, sites

# A title is known once over the whole network: it is all that a plain association says of who calls.
devices = Table(
    "devices",
    metadata,
    Column("id", Key, primary_key=True),
    Column("key", String(32), nullable=False, unique=True),
    Column("site_id", String(64), ForeignKey(sites.c.id), nullable=False, index=True),
    Column("title", String(16), nullable=False, unique=True),
    # by which title it calls the service; empty: by the service's own
    Column("called_title", String(16), nullable=False),
    # where what it asks to be moved is sent; empty: it can only call
    Column("host", Text, nullable=False),
    Column("port", Integer, nullable=True),
    Column("is_called_by_tls", Boolean, nullable=False),
    Column("services", Text, nullable=False),
    # SHA-256 of the certificate that it must show; empty: none is asked for
    Column("fingerprint", String(64), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    CheckConstraint("port IS NULL OR port BETWEEN 1 AND 65535", name="port"),
)
