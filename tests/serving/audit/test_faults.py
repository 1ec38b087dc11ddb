"""What is done to a trail by hand is found and named: by enumeration where that is possible."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.audit.faults import Fault, Finding, Vouchers, examine
from serving.audit.head import Head
from serving.store.audit import Signed
from serving.store.audit_chain import GENESIS, START, AuditRow, Link, row_hash, sealed
from tests.serving.audit.trails import event

N_ROWS = 12
TEXTS = (
    "site",
    "actor_kind",
    "actor",
    "action",
    "result",
    "details",
    "before",
    "hash",
    "address",
    "study_uid",
)
NUMBERS = ("at_us", "is_clock_back")


def _chain(n_rows: int = N_ROWS) -> list[AuditRow]:
    rows: list[AuditRow] = []
    link = START
    for number in range(1, n_rows + 1):
        rows.append(sealed(event(number), after=link))
        link = Link(rows[-1].seq, rows[-1].hash)
    return rows


def _link(row: AuditRow) -> Link:
    return Link(row.seq, row.hash)


WHOLE = _chain()


def _examined(rows: Sequence[AuditRow], *, signed: Sequence[int] = (8,)) -> tuple[Finding, ...]:
    head = Head(_link(WHOLE[-1]), _link(WHOLE[-1]))
    checkpoints = [Signed(_link(WHOLE[seq - 1]), "", "") for seq in signed]
    end = _link(rows[-1]) if rows else START
    return examine(lambda: rows, Vouchers(START, checkpoints, lambda _: True, head, end)).findings


def _renumbered(rows: Sequence[AuditRow]) -> list[AuditRow]:
    return [replace(row, seq=seq) for seq, row in enumerate(rows, start=1)]


def _resealed(row: AuditRow) -> AuditRow:
    return replace(row, hash=row_hash(row))


def _names(findings: Sequence[Finding], seq: int) -> bool:
    return any(one.first <= seq <= one.last for one in findings)


def test_a_whole_trail_has_no_finding() -> None:
    assert _examined(WHOLE) == ()


@settings(max_examples=60, deadline=None)
@given(seq=st.integers(1, N_ROWS), field=st.sampled_from(TEXTS), value=st.none() | st.text(max_size=5))
def test_any_change_of_a_text_is_found_at_its_row(seq: int, field: str, value: str | None) -> None:
    rows = list(WHOLE)
    if getattr(rows[seq - 1], field) == value:
        return
    rows[seq - 1] = replace(rows[seq - 1], **{field: value})  # type: ignore[arg-type]  # as a hand would
    assert any(one.fault is Fault.ALTERED and one.first == one.last == seq for one in _examined(rows))


@settings(max_examples=40, deadline=None)
@given(seq=st.integers(1, N_ROWS), field=st.sampled_from(NUMBERS), step=st.integers(-(10**9), 10**9))
def test_any_change_of_a_number_is_found_at_its_row(seq: int, field: str, step: int) -> None:
    rows = list(WHOLE)
    changed = replace(rows[seq - 1], **{field: getattr(rows[seq - 1], field) + step})
    rows[seq - 1] = changed
    expected = [] if step == 0 else [seq]
    assert [one.first for one in _examined(rows)] == expected


def test_a_row_that_was_altered_and_sealed_anew_is_named() -> None:
    for seq in range(1, N_ROWS):
        rows = list(WHOLE)
        rows[seq - 1] = _resealed(replace(rows[seq - 1], actor="nobody"))
        altered = [one for one in _examined(rows) if one.fault is Fault.ALTERED]
        assert [(one.first, one.last) for one in altered] == [(seq, seq)]


def test_a_last_row_that_was_altered_and_sealed_anew_is_named() -> None:
    rows = [*WHOLE[:-1], _resealed(replace(WHOLE[-1], actor="nobody"))]
    assert [(one.fault, one.first) for one in _examined(rows)] == [(Fault.REWRITTEN, N_ROWS)]


def test_every_removed_run_is_named() -> None:
    for first in range(1, N_ROWS):
        for last in range(first, N_ROWS):
            rows = [row for row in WHOLE if not first <= row.seq <= last]
            removed = [one for one in _examined(rows, signed=()) if one.fault is Fault.REMOVED]
            assert [(one.first, one.last) for one in removed] == [(first, last)]


def test_a_removed_row_is_named_where_the_rest_was_renumbered() -> None:
    for seq in range(1, N_ROWS):
        rows = _renumbered([row for row in WHOLE if row.seq != seq])
        findings = _examined(rows)
        assert any(one.fault is Fault.REMOVED and one.first == one.last == seq for one in findings)


def test_an_inserted_row_is_named() -> None:
    for seq in range(1, N_ROWS + 1):
        before = WHOLE[seq - 2].hash if seq > 1 else GENESIS
        forged = sealed(event(99), after=Link(seq - 1, before))
        rows = _renumbered([*WHOLE[: seq - 1], forged, *WHOLE[seq - 1 :]])
        findings = _examined(rows)
        assert any(one.fault is Fault.INSERTED and one.first == one.last == seq for one in findings)


def test_a_row_that_was_added_at_the_end_is_named() -> None:
    rows = [*WHOLE, sealed(event(99), after=_link(WHOLE[-1]))]
    assert [(one.fault, one.first) for one in _examined(rows)] == [(Fault.UNVOUCHED, N_ROWS + 1)]


def test_two_rows_that_changed_places_are_named() -> None:
    for first in range(1, N_ROWS + 1):
        for second in range(first + 1, N_ROWS + 1):
            rows = list(WHOLE)
            rows[first - 1], rows[second - 1] = rows[second - 1], rows[first - 1]
            moved = [one for one in _examined(_renumbered(rows)) if one.fault is Fault.MOVED]
            assert [one.first for one in moved] == [first, second]


def test_a_cut_off_end_is_named_with_its_rows() -> None:
    for last in range(N_ROWS):
        findings = _examined(WHOLE[:last], signed=())
        assert [(one.fault, one.first, one.last) for one in findings] == [(Fault.TRUNCATED, last + 1, N_ROWS)]


def test_a_trail_that_was_written_anew_contradicts_its_checkpoint() -> None:
    for seq in range(1, 9):
        rows = WHOLE[: seq - 1]
        link = _link(rows[-1]) if rows else START
        for row in WHOLE[seq - 1 :]:
            rows.append(sealed(event(row.seq, at_us=1), after=link))
            link = _link(rows[-1])
        assert any(one.fault is Fault.REWRITTEN and one.first <= seq <= one.last for one in _examined(rows))


def test_a_checkpoint_that_nobody_signed_is_named() -> None:
    checkpoint = Signed(_link(WHOLE[7]), "", "")
    head = Head(_link(WHOLE[-1]))
    found = examine(lambda: WHOLE, Vouchers(START, [checkpoint], lambda _: False, head, _link(WHOLE[-1])))
    assert [(one.fault, one.first) for one in found.findings] == [(Fault.FORGED, 8)]


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_nothing_but_the_trail_itself_passes(data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(N_ROWS)))
    kept = data.draw(st.lists(st.sampled_from(order), min_size=1, max_size=N_ROWS + 2))
    rows = [WHOLE[place] for place in kept]
    if data.draw(st.booleans()):
        rows = _renumbered(rows)
    rows = sorted({row.seq: row for row in rows}.values(), key=lambda row: row.seq)
    assert (_examined(rows) == ()) == (rows == WHOLE)
