"""Removes old rows: up to a signed checkpoint, signed for anew, and never without a trace."""

from dataclasses import dataclass
from datetime import timedelta

from serving.audit.checkpoints import checkpoint_check
from serving.audit.trail import AuditTrail
from serving.store.audit import Signed, checkpoints, first_seq_since, floor, hold_end, last_link, purge
from serving.store.audit_chain import Action, AuditEvent, Who
from serving.store.sites import LOCAL_SITE

# Logs of access are kept at least six months (China's Cybersecurity Law, article 21 (3)).
SHORTEST = timedelta(days=184)


class PurgeRefusedError(Exception):
    """Nothing was removed; the message says why."""


@dataclass(frozen=True, slots=True)
class Purged:
    """Rows `first` to `last` were removed."""

    first: int
    last: int
    n_rows: int


def purge_before(trail: AuditTrail, before_us: int, *, who: Who) -> Purged:
    """Remove the rows that are older than a time, as far as a checkpoint covers them.

    The checkpoints stay, and the hash that the kept rows follow is signed: they can be verified as before.
    Whoever asks has verified the trail: what is removed cannot be looked at again.

    Raises
    ------
    PurgeRefusedError
        If no checkpoint lies before that time.
    """
    is_signed = checkpoint_check([trail.public_key])
    with trail.acting() as act:
        hold_end(act.connection)
        start = floor(act.connection)
        young = first_seq_since(act.connection, before_us)
        end = last_link(act.connection).seq if young is None else young - 1
        chosen = _last_covered(checkpoints(act.connection), start.seq, end)
        if chosen is None or not is_signed(chosen):
            raise PurgeRefusedError(
                "no row was removed: no signed checkpoint covers rows that are all older than that."
            )
        # recorded first: the row behind the last that is removed must exist
        act.record(
            AuditEvent(
                Action.PURGED,
                who,
                LOCAL_SITE,
                trail.clock(),
                details={
                    "first": start.seq + 1,
                    "last": chosen.link.seq,
                    "last_hash": chosen.link.hash,
                    "before_us": before_us,
                },
            )
        )
        n_rows = purge(act.connection, trail.sign_purge(chosen.link))
    return Purged(start.seq + 1, chosen.link.seq, n_rows)


def _last_covered(kept: list[Signed], above: int, up_to: int) -> Signed | None:
    covered = [one for one in kept if above < one.link.seq <= up_to]
    return covered[-1] if covered else None
