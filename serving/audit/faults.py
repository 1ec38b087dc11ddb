"""Finds what was done to a trail: which rows were altered, removed, inserted, moved or written anew.

Three things vouch for a row: its own hash, the row behind it that names this hash, and whatever stands
outside the chain: signed checkpoints, the signed place of the last purge, the head file.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from serving.audit.checkpoints import Check
from serving.audit.head import Head
from serving.store.audit import Signed
from serving.store.audit_chain import Action, AuditRow, Link, row_hash

# Beyond this many, a trail is in shreds, and the first are what one looks at.
MOST_NAMED = 1000

# How far from its place a row is looked for, besides where the row that it names stands.
_REACH = 64

Rows = Callable[[], Iterable[AuditRow]]


class Fault(StrEnum):
    """What was done to rows."""

    ALTERED = "altered"
    REMOVED = "removed"
    INSERTED = "inserted"
    MOVED = "moved"
    REWRITTEN = "rewritten"
    TRUNCATED = "truncated"
    UNVOUCHED = "unvouched"
    BROKEN = "broken"
    FORGED = "forged"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong with the rows `first` to `last`, in a sentence."""

    fault: Fault
    first: int
    last: int
    text: str


@dataclass(frozen=True, slots=True)
class Vouchers:
    """What stands outside the chain: the floor that the first row follows, checkpoints, and the end.

    `known_end` is the end of the database at the moment when `head` was read.
    """

    floor: Link
    checkpoints: Sequence[Signed]
    is_signed: Check
    head: Head | None
    known_end: Link


@dataclass
class _Walk:
    """What one walk along the chain notices."""

    last: Link
    findings: list[Finding] = field(default_factory=list)
    suspects: list[AuditRow] = field(default_factory=list)
    loose: list[int] = field(default_factory=list)
    first_seq: int = 0
    n_rows: int = 0
    floor_of_purge: int = 0


@dataclass(frozen=True, slots=True)
class Examined:
    """How many rows there are, from which to which, and what is wrong with them."""

    n_rows: int
    first: int
    last: int
    findings: tuple[Finding, ...]


def examine(rows: Rows, vouchers: Vouchers) -> Examined:
    """Walk along the whole chain.

    Parameters
    ----------
    rows : callable
        Gives the rows in the order of their numbers; called a second time only if some are wrong.
    vouchers : Vouchers
        What vouches for them from outside.

    Notes
    -----
    Memory stays small: rows are looked at one by one, and at most a thousand wrong ones are kept.
    """
    hash_at = {one.link.seq: "" for one in vouchers.checkpoints}
    if vouchers.head is not None:
        hash_at[vouchers.head.committed.seq] = ""
    walk = _walk(rows(), vouchers.floor, hash_at)
    findings = [
        *walk.findings,
        *_name_loose(walk, vouchers, hash_at),
        *_name_suspects(walk.suspects, rows, walk.last.seq),
        *_check_checkpoints(vouchers, hash_at, walk),
        *_check_end(vouchers, hash_at, walk),
        *_check_purge(vouchers.floor, walk),
    ]
    ordered = sorted(findings, key=lambda one: (one.first, one.last))
    return Examined(walk.n_rows, walk.first_seq, walk.last.seq, tuple(ordered[:MOST_NAMED]))


def _walk(rows: Iterable[AuditRow], floor: Link, hash_at: dict[int, str]) -> _Walk:
    walk = _Walk(last=floor)
    is_sound = True
    for row in rows:
        walk.first_seq = walk.first_seq or row.seq
        walk.n_rows += 1
        has_gap = row.seq > walk.last.seq + 1
        if has_gap:
            walk.findings.append(_removed(walk.last.seq + 1, row.seq - 1))
        was_sound, is_sound = is_sound, row_hash(row) == row.hash
        if not is_sound:
            if len(walk.suspects) < MOST_NAMED:
                walk.suspects.append(row)
        elif row.before != walk.last.hash and was_sound and not has_gap:
            walk.loose.append(row.seq)
        if row.seq in hash_at:
            hash_at[row.seq] = row.hash
        _note_told(row, walk)
        walk.last = Link(row.seq, row.hash)
    return walk


def _note_told(row: AuditRow, walk: _Walk) -> None:
    if row.action == Action.TRAIL_BROKEN:
        text = f"row {row.seq} records that the service found the trail broken at a start: {row.details}"
        walk.findings.append(Finding(Fault.BROKEN, row.seq, row.seq, text))
    elif row.action == Action.PURGED:
        walk.floor_of_purge = row.seq


def _name_loose(walk: _Walk, vouchers: Vouchers, hash_at: Mapping[int, str]) -> list[Finding]:
    """Name the rows that were given a hash anew: their own is right, a neighbour's is not."""
    findings: list[Finding] = []
    loose = set(walk.loose)
    for seq in walk.loose:
        if seq not in loose:
            continue
        fits_neither = seq + 1 in loose or seq == vouchers.floor.seq + 1
        loose.discard(seq + 1)
        if fits_neither or (seq == walk.last.seq and not _is_known_end(walk.last, vouchers, hash_at)):
            findings.append(_altered(seq, seq))
        else:
            findings.append(_altered(seq - 1, seq - 1))
    return findings


def _is_known_end(last: Link, vouchers: Vouchers, hash_at: Mapping[int, str]) -> bool:
    known = None if vouchers.head is None else vouchers.head.committed
    return known is not None and known.seq == last.seq and hash_at[last.seq] == known.hash


def _name_suspects(suspects: Sequence[AuditRow], rows: Rows, end: int) -> list[Finding]:
    """Tell rows that stand at another place than they were written at from those that were altered."""
    if not suspects:
        return []
    place_of = _places({row.before for row in suspects}, rows)
    true_seq: dict[int, int] = {}
    shift = 0
    for row in suspects:
        near = [row.seq + way * step for step in range(1, _REACH + 1) for way in (1, -1)]
        named = [place_of[row.before] + 1] if row.before in place_of else []
        for seq in [*([row.seq - shift] if shift else []), *named, *near]:
            if seq != row.seq and row_hash(row, seq=seq) == row.hash:
                true_seq[row.seq], shift = seq, row.seq - seq
                break
    findings = [_altered(row.seq, row.seq) for row in suspects if row.seq not in true_seq]
    for first, last in _runs(true_seq):
        moved = true_seq[first]
        steps = first - moved
        span = f"row {first}" if first == last else f"rows {first} to {last}"
        findings.append(
            Finding(Fault.MOVED, first, last, f"{span} stood {abs(steps)} {_way(steps)}: number {moved} on")
        )
        if last != end:
            continue
        if steps > 0 and not any(seq in true_seq for seq in range(first - steps, first)):
            text = f"{_span(first - steps, first - 1)} was inserted: what stood there was pushed back"
            findings.append(Finding(Fault.INSERTED, first - steps, first - 1, text))
        elif steps < 0 and not any(first <= seq < moved for seq in true_seq.values()):
            findings.append(_removed(first, moved - 1))
    return findings


def _places(hashes: set[str], rows: Rows) -> dict[str, int]:
    return {row.hash: row.seq for row in rows() if row.hash in hashes}


def _runs(true_seq: dict[int, int]) -> list[tuple[int, int]]:
    """Give the first and last of rows that stand together and were moved together."""
    runs: list[tuple[int, int]] = []
    for seq in sorted(true_seq):
        if runs and runs[-1][1] == seq - 1 and true_seq[seq] == true_seq[seq - 1] + 1:
            runs[-1] = runs[-1][0], seq
        else:
            runs.append((seq, seq))
    return runs


def _check_checkpoints(vouchers: Vouchers, hash_at: dict[int, str], walk: _Walk) -> list[Finding]:
    findings: list[Finding] = []
    last_good = vouchers.floor.seq
    for one in vouchers.checkpoints:
        seq = one.link.seq
        if not vouchers.is_signed(one):
            text = f"the checkpoint of row {seq} is not signed by a key that was given"
            findings.append(Finding(Fault.FORGED, seq, seq, text))
        elif seq <= vouchers.floor.seq:
            continue
        elif seq > walk.last.seq:
            text = f"{_span(walk.last.seq + 1, seq)} cut off: a checkpoint was signed for row {seq}"
            findings.append(Finding(Fault.TRUNCATED, walk.last.seq + 1, seq, text))
        elif hash_at[seq] != one.link.hash:
            text = f"{_span(last_good + 1, seq)} written anew or altered: another row {seq} was signed for"
            findings.append(Finding(Fault.REWRITTEN, last_good + 1, seq, text))
        else:
            last_good = seq
    return findings


def _check_end(vouchers: Vouchers, hash_at: dict[int, str], walk: _Walk) -> list[Finding]:
    if vouchers.head is None:
        if not walk.n_rows:
            return []
        text = "the head file is gone: nothing vouches for the rows behind the last checkpoint"
        return [Finding(Fault.BROKEN, walk.last.seq, walk.last.seq, text)]
    known, intended, end = vouchers.head.committed, vouchers.head.intended, vouchers.known_end
    if end.seq < known.seq:
        text = f"{_span(end.seq + 1, known.seq)} cut off: the head file knows row {known.seq}"
        return [Finding(Fault.TRUNCATED, end.seq + 1, known.seq, text)]
    if known.seq > vouchers.floor.seq and hash_at.get(known.seq) != known.hash:
        text = f"row {known.seq} is another than the head file knows: it or rows before it were written anew"
        return [Finding(Fault.REWRITTEN, known.seq, known.seq, text)]
    if end.seq > known.seq and end.hash != (intended or known).hash:
        text = (
            f"{_span(known.seq + 1, end.seq)} not known to the head file: inserted, or written before a "
            "power cut; start the service, which records it"
        )
        return [Finding(Fault.UNVOUCHED, known.seq + 1, end.seq, text)]
    return []


def _check_purge(floor: Link, walk: _Walk) -> list[Finding]:
    if not floor.seq or walk.floor_of_purge:
        return []
    text = f"rows up to {floor.seq} were purged, and no row records it"
    return [Finding(Fault.REMOVED, floor.seq, floor.seq, text)]


def _altered(first: int, last: int) -> Finding:
    return Finding(Fault.ALTERED, first, last, f"{_span(first, last)} altered")


def _removed(first: int, last: int) -> Finding:
    return Finding(Fault.REMOVED, first, last, f"{_span(first, last)} removed")


def _span(first: int, last: int) -> str:
    return f"row {first} was" if first == last else f"rows {first} to {last} were"


def _way(steps: int) -> str:
    return "earlier" if steps > 0 else "later"
