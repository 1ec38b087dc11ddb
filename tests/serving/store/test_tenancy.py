"""No row of another site is read: by what the functions of the store give, and by what they ask for."""

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Table, event
from sqlalchemy.sql import visitors
from sqlalchemy.sql.elements import BinaryExpression, ClauseElement
from sqlalchemy.sql.selectable import Select

from serving.store import (
    arrivals,
    assembly_tables,
    claims,
    consent,
    device_tables,
    devices,
    dicom_images,
    discrepancies,
    events,
    exports,
    hl7_senders,
    late_images,
    order_tables,
    orders,
    quarantine,
    quarantine_tables,
    queue,
    reading_state,
    reading_tables,
    reads,
    receipt,
    scores,
    search,
    sites,
    studies,
    tables,
    upload_tables,
)
from serving.store.consent import Statement
from serving.store.database import Database
from serving.store.scores import StoredScore, record_score
from serving.store.tenancy import Scope
from serving.store.uses import Consent, Purpose
from tests.serving.store.databases import Place
from tests.serving.store.stored import in_four_hours, opened, study

STORE = Path(tables.__file__).parent
OF_A_SITE = {
    table.name
    for module in (
        tables,
        reading_tables,
        assembly_tables,
        upload_tables,
        device_tables,
        quarantine_tables,
        order_tables,
    )
    for table in vars(module).values()
    if isinstance(table, Table) and "site_id" in table.c
}

# Who reads rows of a site without a scope, and why that gives nothing away. Whoever adds one says why.
READS_OVER_ALL_SITES = {
    ("audit", "*"): "the trail is one chain over all sites; whoever may read it may read all of it",
    ("studies", "find_by_id"): "scoring works for all sites, and shows nobody anything",
    ("jobs", "open_job"): "the same",
    ("jobs", "begin"): "the same",
    ("jobs", "put_off"): "the same",
    ("jobs", "hand_back"): "the same",
    ("jobs", "end"): "the same",
    ("jobs", "jobless"): "the same",
    ("jobs", "modelless"): "the same",
    ("jobs", "long_unfinished"): "the same",
    ("jobs", "renew"): "the same",
    ("jobs", "let_wait_again"): "the same; by the row's own key, which was found within a scope",
    ("arrivals", "wait_of"): "by the key of a row that is held or was found within a scope",
    ("arrivals", "wait_on"): "the same",
    ("arrivals", "end_wait"): "the same",
    ("arrivals", "is_complete"): "a condition for those who have one of the site",
    ("arrivals", "is_not_waited_for"): "the same",
    ("arrivals", "due_waits"): "the service ends the waits of all sites, and shows nobody anything",
    ("arrivals", "end_due_wait"): "the same",
    ("expected", "announce"): "writes what is said of a study of one site, and reads none",
    ("events", "add_events"): "writes rows of each study's own site, and reads none",
    ("quiet_times", "set_quiet_time"): "of the site that it names",
    ("jobs", "let_wait_for_score"): "scoring works for all sites, and shows nobody anything",
    ("devices", "add_device"): "writes a row of the site that the device names, and reads none",
    ("stuck", "count_long_in_state"): "a number without a site, for the operator",
    ("studies", "count_by_state"): "a number without a site, for the operator",
    ("figures", "*"): "numbers and times without a site, for the operator",
    ("references", "*"): "whether anybody refers to an object, which all sites share",
    ("receipt", "unknown_objects"): "the same",
    ("claims", "begin_claims"): "writes rows of each study's own site, and reads none",
    ("exports", "begin"): "writes rows of each study's own site, and reads none",
    ("exports", "end"): "by the key of the export that the caller began",
    ("uploads", "begin_upload"): "writes a row of its batch, which was found within a scope",
    ("uploads", "files_of"): "of a batch that was found within a scope",
    ("uploads", "say_received"): "the same, by the row's own key",
    ("uploads", "end_upload"): "the same",
    ("uploads", "add_fields"): "the same",
    ("uploads", "close_batch"): "the same",
    ("uploads", "answer_batch"): "the same",
    ("uploads", "expire"): "gives up old rows of all sites, and shows none",
    ("uploads", "needed"): "which files of this machine are needed, by their own keys",
    ("uploads", "forget"): "removes old rows of all sites, and shows none",
    ("quarantine", "held_by_reason"): "numbers without a site, for the operator",
    ("quarantine", "correct_entry"): "writes to the row of an entry that was found within a scope",
    ("quarantine", "note_reason"): "the same",
    ("quarantine", "end_entry"): "the same",
    ("quarantine", "remove_entry"): "the same",
    ("hl7_senders", "add_sender"): "writes a row of the sender's own site, and reads none",
    ("orders", "change_order"): "by the key and the site of a row that was found within a scope",
    ("order_matching", "apply_order"): "studies of the order's own site",
    ("idempotency", "prune_answers"): "removes old rows of all sites, and shows none",
    ("idempotency", "count_answers"): "a number for the operator",
}


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    """Give a database with a study of the same UID, patient and picture at each of two sites."""
    with opened(place) as database:
        with database.writing() as connection:
            connection.execute(
                tables.sites.insert(), [{"id": site, "name": site} for site in ("north", "south")]
            )
            for site in ("north", "south"):
                _fill(connection, site)
        yield database


def _fill(connection: Connection, site: str) -> None:
    patient = receipt.ArrivedPatient("", "P1", f"Patient of {site}")
    arrived = receipt.ArrivedStudy(
        "1.2", "XC", "routine", study("s").instances, patient=patient, accession="A1"
    )
    done = receipt.record(
        connection,
        arrived,
        site=site,
        now_us=5,
        place_unscored=in_four_hours,
        enqueue=lambda _connection, _job: None,
        max_images=9,
    )
    events.add_events(connection, done.events)
    device = devices.Device(site, f"CT_{site}", frozenset({"store"}))
    devices.add_device(connection, device, created_by="local", now_us=5)
    (study_id,) = connection.execute(
        tables.studies.select().where(tables.studies.c.key == done.study_key)
    ).first()[:1]  # type: ignore[index]  # there is one
    refused = quarantine.RefusedFile(f"{site}.txt", "ab" * 32, 3, "not-an-image", "is none", "send one")
    quarantine.add_refusal(
        connection, refused, quarantine.Arrived("upload", "x", None, 5), site=site, object_sha256=None
    )
    connection.execute(  # so that the key of the study is its own, too
        quarantine_tables.quarantine.update()
        .where(quarantine_tables.quarantine.c.site_id == site)
        .values(key=done.study_key)
    )
    score = StoredScore("m", "1", "x", "y", "CPU", {}, [{"key": "mel"}], None, None, False, [], (), 5)
    late = events.StudyEvent(study_id, site, events.Happening.LATE_IMAGE, 5)
    events.add_events(connection, [late])
    said = Statement(Consent.TRAINING, "local", 5)
    consent.say(connection, said, site=site, study_id=study_id)
    leaving = exports.Candidate(study_id, done.study_key, "1.2", site, said)
    exports.begin(connection, [leaving], purpose=Purpose.TRAINING, by="local", key_fingerprint="ab", now_us=5)
    asked = orders.OrderedPatient((("", "P1"),), f"Patient of {site}")
    order = orders.Order("A1", "PL1", "stat", "", "", asked, orders.OrderState.ACTIVE, "hl7", site)
    orders.add_order(connection, order, site=site, now_us=5)
    sender = hl7_senders.Hl7Sender("", site, f"10.0.0.{len(site)}", "", site, "", "")
    hl7_senders.add_sender(connection, sender, created_by="local", now_us=5)
    assert record_score(connection, score, site=site, study_id=study_id, revision=1)
    whose = {"site": site, "study_id": study_id, "slot": 1, "reader": "ann", "now_us": 5}
    claims.begin_claims(connection, [claims.NewClaim(site, study_id, 1, "ann", "1.2", 5, 9)])
    draft = reads.begin_draft(connection, reads.Decision(), **whose, save_key=None, score_id=None)
    score_id = connection.execute(
        tables.scores.select().where(tables.scores.c.study_id == study_id)
    ).scalar_one()
    discrepancies.set_differences(
        connection,
        [discrepancies.Difference("mel", "missed")],
        site=site,
        study_id=study_id,
        read_id=draft.id,
        score_id=score_id,
        model=("m", "1"),
        now_us=5,
    )


def _of(connection: Connection, site: str) -> dict[str, Any]:
    row = connection.execute(tables.studies.select().where(tables.studies.c.site_id == site)).one()
    return {"key": row.key, "study_id": row.id, "sop_instance_uid": "s-image", "limit": 9, "at_most": 9} | {
        "after": None,
        "study_ids": [row.id],
        "is_read_only": True,
        "study_uid": "1.2",
        "series_uid": "series",
        "conditions": [],
        "since": 0,
        "since_us": 0,
        "kind": events.Happening.RECEIVED,
        "uid": "1.2",
        "uids": ["s-image"],
        "title": f"CT_{site}",
        "sought": quarantine.Sought(),
        "condition": tables.studies.c.id == row.id,
        "is_held": False,
        "reader": "ann",
        "readers": ["ann"],
        "wanted": discrepancies.Wanted(),
        "before": None,
        "now_us": 6,
        "score_id": connection.execute(
            tables.scores.select().where(tables.scores.c.study_id == row.id)
        ).scalar_one(),
        "page": search.Page(9),
        "accession": "A1",
        "placer": "PL1",
        "order_key": connection.execute(
            order_tables.orders.select().where(order_tables.orders.c.site_id == site)
        )
        .one()
        .key,
    }


SCOPED: dict[str, Callable[..., object]] = {
    f"{module.__name__.rpartition('.')[2]}.{name}": function
    for module in (
        arrivals,
        claims,
        consent,
        devices,
        dicom_images,
        discrepancies,
        events,
        exports,
        hl7_senders,
        late_images,
        orders,
        quarantine,
        queue,
        reading_state,
        reads,
        receipt,
        scores,
        search,
        sites,
        studies,
    )
    for name, function in inspect.getmembers(module, inspect.isfunction)
    if function.__module__ == module.__name__
    # they hold what they find, so they cannot only read; see their own tests
    and function is not exports.candidates
    and function is not arrivals.hold_arrived
    and function is not reads.reads_that_count  # of studies that left the queue: tests/serving/reading
    and function is not devices.remove_device
    and "scope" in inspect.signature(function).parameters
}


def _call(
    function: Callable[..., object], connection: Connection, scope: Scope, wanted: dict[str, Any]
) -> Any:  # noqa: ANN401
    names = [name for name in inspect.signature(function).parameters if name not in {"connection", "scope"}]
    return function(connection, scope=scope, **{name: wanted[name] for name in names})


@pytest.mark.parametrize("name", sorted(SCOPED))
def test_with_the_ids_of_another_site_nothing_is_found(database: Database, name: str) -> None:
    with database.reading() as connection:
        north = _of(connection, "north")
        mine = _call(SCOPED[name], connection, Scope.of("north"), north)
        assert mine, "the test asks for what is not there"
        for scope in (Scope.of("south"), Scope.of("south", "east"), Scope.of()):
            theirs = _call(SCOPED[name], connection, scope, north)
            assert not theirs or theirs != mine or name.partition(".")[2].startswith("count_")
        every = [
            _call(SCOPED[name], connection, scope, north)
            for scope in (Scope.of("north", "south"), Scope(None))
        ]
        assert every[0] == every[1]
        assert _call(SCOPED[name], connection, Scope.of(), north) in (None, 0, [], {})


def test_a_page_and_a_count_of_one_site_hold_nothing_of_the_other(database: Database) -> None:
    with database.reading() as connection:
        for scope, n_studies in ((Scope.of("north"), 1), (Scope.of("north", "south"), 2), (Scope(None), 2)):
            rows = queue.read_page(connection, scope=scope, limit=9, after=None)
            assert len(rows) == queue.count_waiting(connection, scope=scope, at_most=9) == n_studies
        (row,) = queue.read_page(connection, scope=Scope.of("north"), limit=9, after=None)
        assert row.study_key == _of(connection, "north")["key"]


def _sites_asked_for(statement: ClauseElement) -> bool:
    """Whether a statement compares some table's `site_id` with a value."""
    for part in visitors.iterate(statement):
        if isinstance(part, BinaryExpression):
            sides = [part.left, part.right]
            named = [getattr(side, "name", None) == "site_id" for side in sides]
            if any(named) and not all(named):
                return True
    return False


def _tables_of(statement: ClauseElement) -> set[str]:
    return {part.name for part in visitors.iterate(statement) if isinstance(part, Table)}


@pytest.mark.parametrize("name", sorted(SCOPED))
def test_every_statement_names_the_sites_that_may_be_read(database: Database, name: str) -> None:
    statements: list[ClauseElement] = []
    with database.reading() as connection:
        wanted = _of(connection, "north")

        @event.listens_for(connection, "before_execute")
        def _note(_connection: Connection, statement: ClauseElement, *_rest: object) -> None:
            statements.append(statement)

        _call(SCOPED[name], connection, Scope.of("north"), wanted)
    # What is read by the key of a row that was found within the scope is within it, too.
    first = next(one for one in statements if isinstance(one, Select) and _tables_of(one) & OF_A_SITE)
    assert _sites_asked_for(first), str(first)


def test_who_reads_rows_of_a_site_takes_a_scope_or_a_site_or_says_why_not() -> None:
    guilty = [
        f"{module.stem}.{function.name}"
        for module in sorted(STORE.glob("*.py"))
        if module.stem != "tables" and not module.stem.endswith("_tables")
        if module.stem != "tables" and not module.stem.endswith("_tables")
        for function in ast.parse(module.read_text(encoding="utf-8")).body
        if isinstance(function, ast.FunctionDef)
        and not function.name.startswith("_")
        and _names_a_table_of_a_site(function)
        and not {"scope", "site"}
        & {argument.arg for argument in function.args.kwonlyargs + function.args.args}
        and (module.stem, function.name) not in READS_OVER_ALL_SITES
        and (module.stem, "*") not in READS_OVER_ALL_SITES
        and function.name != "page_query"  # it is given the sites as values; the plans of it are tested
    ]
    assert guilty == []


def _names_a_table_of_a_site(function: ast.FunctionDef) -> bool:
    return bool({node.id for node in ast.walk(function) if isinstance(node, ast.Name)} & OF_A_SITE)


def test_a_device_is_removed_within_the_scope_alone(database: Database) -> None:
    with database.writing() as connection:
        (theirs,) = devices.read_devices(connection, scope=Scope.of("south"))
        devices.remove_device(connection, theirs.key, scope=Scope.of("north"))
        assert devices.read_devices(connection, scope=Scope.of("south")) == [theirs]
        devices.remove_device(connection, theirs.key, scope=Scope.of("south"))
        assert devices.read_devices(connection, scope=Scope.of("south")) == []


def test_an_export_finds_and_holds_the_studies_of_its_scope_alone(database: Database) -> None:
    with database.writing() as connection:
        for scope, expected in ((Scope.of("north"), ["north"]), (Scope(None), ["north", "south"])):
            found = exports.candidates(connection, scope=scope, selection=exports.Selection(named=("1.2",)))
            assert [one.site for one in found] == expected
        assert exports.candidates(connection, scope=Scope.of(), selection=exports.Selection()) == []
