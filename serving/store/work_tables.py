"""The tables of those who score: who works, and whether scoring is paused.

A study's own job stands in its row (:data:`serving.store.tables.studies`); the queue of jobs is DBOS's, in
tables of its own beside these (:mod:`serving.scoring.durable`).
"""

from sqlalchemy import JSON, BigInteger, Boolean, CheckConstraint, Column, Integer, String, Table, Text

from serving.store.tables import metadata

# `beat` is counted up every few seconds for as long as the worker lives: others watch whether it moves, and
# compare no clocks. `beat_at` is for people.
workers = Table(
    "workers",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("host", Text, nullable=False),
    Column("process_id", Integer, nullable=False),
    Column("version", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("beat", BigInteger, nullable=False),
    Column("beat_at", BigInteger, nullable=False),
    Column("state", String(16), nullable=False),
    Column("provider", Text, nullable=False),
    Column("models", JSON, nullable=False),
    Column("n_processes", Integer, nullable=False),
    CheckConstraint("state IN ('live', 'dead', 'stopped')", name="state"),
)

# One row at most; none: scoring was never paused.
scoring_switch = Table(
    "scoring_switch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("is_paused", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("set_by", Text, nullable=False),
    Column("set_at", BigInteger, nullable=False),
    CheckConstraint("id = 1", name="one_row"),
)
