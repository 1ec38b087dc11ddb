"""Checks the whole trail of a database against its keys and its head file."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.audit.checkpoints import checkpoint_check, purge_check
from serving.audit.faults import Examined, Fault, Finding, Vouchers, examine
from serving.audit.head import Head, HeadFile
from serving.audit.keys import PublicKey
from serving.store.audit import Signed, checkpoints, hold_end, last_link, purges, read_rows
from serving.store.audit_chain import START, Action, Link
from serving.store.database import Database


@dataclass(frozen=True, slots=True)
class Report:
    """What a check of the trail found; it is whole if there is no finding.

    `notes` is what a person should know although nothing is wrong.
    """

    n_rows: int
    first: int
    last: int
    n_checkpoints: int
    last_checkpoint: int
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


def verify(database: Database, keys: Sequence[PublicKey], head_file: HeadFile) -> Report:
    """Check every row, checkpoint and purge, and the end."""
    # Under the writers' turn, nothing is on its way between the database and the head file.
    with database.writing() as connection:
        hold_end(connection)
        end = last_link(connection)
        head, unreadable = _read(head_file)
    with database.reading_at_leisure() as connection:
        kept = checkpoints(connection)
        floor, forged = _floor(purges(connection), keys)
        examined: Examined = examine(
            lambda: read_rows(connection, up_to=max(end.seq, floor.seq)),
            Vouchers(floor, kept, checkpoint_check(keys), head, end),
        )
        resumed = [
            f"row {row.seq} records rows that only the database vouches for: {row.details}"
            for row in read_rows(connection)
            if row.action == Action.TRAIL_RESUMED
        ]
    findings = [*forged, *unreadable, *examined.findings]
    # Workers, and services on other machines, append without this head file. Whoever cuts off or changes what
    # they appended is found by the next checkpoint, at most a quarter of an hour later.
    beyond = [one for one in findings if database.is_shared and one.fault is Fault.UNVOUCHED]
    others = [f"rows {one.first} to {one.last} await the next checkpoint: others appended" for one in beyond]
    return Report(
        n_rows=examined.n_rows,
        first=examined.first,
        last=examined.last,
        n_checkpoints=len(kept),
        last_checkpoint=kept[-1].link.seq if kept else 0,
        findings=tuple(one for one in findings if one not in beyond),
        notes=(*resumed, *others),
    )


def _read(head_file: HeadFile) -> tuple[Head | None, list[Finding]]:
    try:
        return head_file.read(), []
    except ValueError as error:
        return None, [Finding(Fault.FORGED, 0, 0, str(error))]


def _floor(purged: Sequence[Signed], keys: Sequence[PublicKey]) -> tuple[Link, list[Finding]]:
    """Give the place that the kept rows follow; a purge that nobody signed for moves it nowhere."""
    is_signed = purge_check(keys)
    floor, forged = START, []
    for one in purged:
        if is_signed(one):
            floor = one.link
        else:
            text = f"the purge up to row {one.link.seq} is not signed by a key that was given"
            forged.append(Finding(Fault.FORGED, one.link.seq, one.link.seq, text))
    return floor, forged
