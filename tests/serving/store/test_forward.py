"""Databases as earlier versions left them, filled by SQL, are brought forward with every row they had."""

import pytest
from sqlalchemy import Connection, insert, inspect, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from serving.store import reading_tables, tables
from serving.store.audit import append, last_link, read_rows
from serving.store.audit_chain import START, Link, row_hash, sealed
from serving.store.database import Database, open_database
from serving.store.engines import connect
from serving.store.queue import read_page
from serving.store.receipt import ArrivedInstance, record
from serving.store.schema import NEWEST, migrate, revision_of
from serving.store.scores import newest_score
from serving.store.studies import find_study
from serving.store.tenancy import Scope
from tests.serving.audit.trails import event
from tests.serving.store.databases import Place
from tests.serving.store.stored import image, in_four_hours, opened, study

_STUDY = """
    INSERT INTO studies (id, site_id, key, uid, patient_id, accession, description, modality, received_at,
        priority, age_years, state, revision, n_attempts, n_images, reason)
    VALUES ({id}, 'local', 'k{id}', '1.2.{id}', {patient}, '', '头部', 'CT', {id}5, 'urgent', 70.5, '{state}',
        2, 1, {n_images}, {reason})
"""
_INSTANCE = """
    INSERT INTO instances (id, site_id, study_id, sop_instance_uid, sop_class_uid, series_uid, modality,
        n_frames, rows, columns, sha256, file_name, received_at)
    VALUES ({id}, 'local', {study}, '1.2.3.{id}', '1.2.840', '{series}', 'CT', 1, 512, 512, 'hash',
        '片.dcm', 5)
"""
ROWS_OF_0001 = (
    "INSERT INTO sites (id, name) VALUES ('local', 'Local')",
    "INSERT INTO patients (id, site_id, issuer, identifier, name) VALUES (1, 'local', '', 'P1', '王^芳')",
    *(
        _STUDY.format(
            id=number, patient="1" if number == 1 else "NULL", state=state, n_images=n, reason=reason
        )
        for number, (state, n, reason) in enumerate(
            (
                ("scored", 3, "NULL"),
                ("received", 1, "NULL"),
                ("scoring", 0, "NULL"),
                ("abstained", 0, "'no-model'"),
                ("failed", 0, "'model-failed'"),
            ),
            start=1,
        )
    ),
    "INSERT INTO objects (sha256, n_bytes, stored_at) VALUES ('hash', 12345678901, 5)",
    *(
        _INSTANCE.format(id=number, study=study_id, series=series)
        for number, (study_id, series) in enumerate(((1, "a"), (1, "b"), (1, "a"), (2, "a")), start=1)
    ),
    """
    INSERT INTO scores (id, site_id, study_id, revision, scored_at, model_name, model_version, onnx_sha256,
        preprocessing_sha256, provider, operating_point, probabilities, novelty, is_abstained, unread)
    VALUES (1, 'local', 1, 2, 9, 'head-ct', '1', 'x', 'y', 'CPU', '{"name": "screening"}',
        '[{"key": "bleed"}]', 0.25, FALSE, '[]')
    """,
    """
    INSERT INTO key_images (score_id, rank, sop_instance_uid, frame_number, evidence, contour)
    VALUES (1, 0, '1.2.3.2', 1, 0.5, '[[[0.1, 0.2]]]')
    """,
    *(
        f"INSERT INTO queue_entries (study_id, site_id, is_waiting, due_at, tier, reason_en, reason_zh, "
        f"policy_version) VALUES ({number}, 'local', {waits}, {due_at}, 'urgent', 'en', '中', '1')"
        for number, waits, due_at in ((1, "TRUE", 90), (2, "TRUE", 20), (3, "FALSE", 1), (4, "TRUE", 30))
    ),
    "INSERT INTO queue_entries VALUES (5, 'local', TRUE, 40, 'urgent', 'en', 'zh', '1')",
    """
    INSERT INTO idempotency (site_id, key, request_sha256, answer, answered_at)
    VALUES ('local', 'again', 'r', '{"studies": []}', 6)
    """,
)

CHAIN = [first := sealed(event(1), after=START), sealed(event(2), after=Link(first.seq, first.hash))]


def _fill_0002(connection: Connection) -> None:
    for row in CHAIN:
        values = {name: getattr(row, name) for name in row.__dataclass_fields__}
        columns = [{"at_us": "at", "site": "site_id"}.get(name, name) for name in values]
        places = ", ".join(f":{name}" for name in values)
        connection.execute(text(f"INSERT INTO audit ({', '.join(columns)}) VALUES ({places})"), values)
    connection.execute(
        text("INSERT INTO audit_checkpoints (seq, hash, at, signature, key) VALUES (2, :hash, 5, 's', 'k')"),
        {"hash": CHAIN[1].hash},
    )


def _made(place: Place, revision: str) -> None:
    engine = connect(place)
    migrate(engine, "an old one", revision)
    with engine.connect().execution_options(writes=True) as connection, connection.begin():
        for statement in ROWS_OF_0001:
            connection.exec_driver_sql(statement)
        if revision >= "0002":
            _fill_0002(connection)
        if connection.dialect.name == "postgresql":  # rows that were written by number leave sequences behind
            for name in ("patients", "studies", "instances", "scores"):
                last = f"(SELECT max(id) FROM {name})"
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), {last})")
    engine.dispose()


@pytest.mark.parametrize("revision", ["0001", "0002"])
def test_a_filled_database_is_brought_forward_whole(empty_place: Place, revision: str) -> None:
    _made(empty_place, revision)
    database = open_database(empty_place)
    local = Scope.of("local")
    with database.writing() as connection:
        assert revision_of(connection) == NEWEST
        states = connection.execute(select(tables.studies.c.state).order_by(tables.studies.c.id)).scalars()
        assert list(states) == ["scored", "received", "scoring", "abstained", "failed"]
        found = find_study(connection, scope=local, key="k1")
        assert found is not None
        assert (found.patient_name, found.description, found.age_years) == ("王^芳", "头部", 70.5)
        assert [(one.series_uid, one.file_name) for one in found.instances] == [
            ("a", "片.dcm"),
            ("b", "片.dcm"),
            ("a", "片.dcm"),
        ]
        score = newest_score(connection, scope=local, study_id=1)
        assert score is not None
        assert (score.operating_point, score.probabilities) == ({"name": "screening"}, [{"key": "bleed"}])
        assert score.key_images[0].contour == [[[0.1, 0.2]]]
        page = read_page(connection, scope=local, limit=9, after=None)
        assert [(row.study_id, row.placement.due_at_us) for row in page] == [
            (2, 20),
            (4, 30),
            (5, 40),
            (1, 90),
        ]
        assert page[-1].key_sop_instance_uid == "1.2.3.2"
        series = connection.execute(select(tables.series).order_by(tables.series.c.id)).all()
        assert [(row.site_id, row.study_id, row.uid, row.modality) for row in series] == [
            ("local", 1, "a", "CT"),
            ("local", 1, "b", "CT"),
            ("local", 2, "a", "CT"),
        ]
        kept = list(read_rows(connection))
        assert kept == (CHAIN if revision == "0002" else [])
        append(connection, [event(3)])
        assert [row_hash(row) for row in read_rows(connection)][-1] == last_link(connection).hash
    _goes_on(database)
    database.close()


def _goes_on(database: Database) -> None:
    """Receive more images of a study that an earlier version received, and break a rule of old."""
    more = ArrivedInstance("new", None, "c", "CT", 1, 512, 512, "f" * 64, 9, "c.dcm")
    with database.writing() as connection:
        receipt = record(
            connection,
            study("1.2.1", more),
            site="local",
            now_us=99,
            place_unscored=in_four_hours,
            enqueue=lambda _connection, _job: None,
            max_images=9,
        )
        assert (receipt.study_key, receipt.n_images, receipt.state) == ("k1", 4, "received")
        uids = connection.execute(select(tables.series.c.uid).where(tables.series.c.study_id == 1)).scalars()
        assert set(uids) == {"a", "b", "c"}
    for statement in (
        "UPDATE studies SET state = 'lost'",
        "INSERT INTO series (site_id, study_id, uid, modality) VALUES ('local', 1, 'a', 'CT')",
        "INSERT INTO series (site_id, study_id, uid, modality) VALUES ('nowhere', 2, 'z', 'CT')",
    ):
        with pytest.raises(IntegrityError), database.writing() as connection:
            connection.exec_driver_sql(statement)


def test_the_tables_that_stand_before_a_migration_stand_after_it_in_every_step(empty_place: Place) -> None:
    _made(empty_place, "0001")
    engine = connect(empty_place)
    before: set[str] = set()
    for number in range(2, int(NEWEST) + 1):
        migrate(engine, "an old one", f"{number:04}")
        with engine.connect() as connection:
            assert revision_of(connection) == f"{number:04}"
            now = set(inspect(connection).get_table_names())
            assert before <= now
            assert connection.execute(text("SELECT count(*) FROM instances")).scalar_one() == 4
        before = now
    engine.dispose()


CLAIM = {"site_id": "local", "study_id": 1, "slot": 1, "reader": "li", "claimed_at": 1, "expires_at": 9}
READ = {
    "site_id": "local",
    "study_id": 1,
    "slot": 1,
    "reader": "li",
    "version": 1,
    "begun_at": 1,
    "saved_at": 1,
    "findings": [],
    "key_images": [],
    "note": "",
}
DELIVERY = {
    "site_id": "local",
    "study_id": 1,
    "kind": "sr",
    "receiver": "PACS",
    "content_uid": "1.2.9",
    "place": 1,
    "state": "waiting",
    "n_attempts": 0,
    "next_attempt_at": 5,
    "created_at": 1,
}
SIGNED = {"signed_at": 2, "action": "biopsy"}
SENT = {"state": "sent", "next_attempt_at": None, "sent_at": 9}


@pytest.mark.parametrize(
    ("table", "kept", "refused"),
    [
        ("claims", [CLAIM], CLAIM | {"reader": "wang"}),
        ("claims", [CLAIM | {"ended_at": 3, "ending": "expired"}, CLAIM], CLAIM | {"reader": "wang"}),
        ("claims", [CLAIM, CLAIM | {"slot": 2, "reader": "wang"}], CLAIM | {"slot": 4}),
        ("claims", [], CLAIM | {"ended_at": 3}),
        ("claims", [], CLAIM | {"expires_at": 1}),
        ("reads", [READ], READ | {"version": 2}),
        ("reads", [READ | SIGNED], READ | SIGNED | {"reader": "wang"}),
        ("reads", [], READ | {"signed_at": 2}),
        ("reads", [], READ | SIGNED | {"action": "nothing"}),
        ("reads", [READ | SIGNED], READ | SIGNED | {"amends": 1}),
        ("deliveries", [DELIVERY], DELIVERY | {"place": 2}),
        ("deliveries", [DELIVERY], DELIVERY | {"content_uid": "1.2.8"}),
        (
            "deliveries",
            [DELIVERY | SENT | {"confirmation": "0000"}],
            DELIVERY | SENT | {"content_uid": "1", "place": 2},
        ),
        ("deliveries", [], DELIVERY | {"confirmation": "0000"}),
    ],
)
def test_the_rules_of_reading_hold_in_the_database(
    place: Place, table: str, kept: list[dict[str, object]], refused: dict[str, object]
) -> None:
    with opened(place) as database:
        with database.writing() as connection:
            _one_study(connection)
            for row in kept:
                connection.execute(insert(tables.metadata.tables[table]).values(row))
        with pytest.raises(IntegrityError), database.writing() as connection:
            connection.execute(insert(tables.metadata.tables[table]).values(refused))


def _one_study(connection: Connection) -> None:
    record(
        connection,
        study("s", image("a")),
        site="local",
        now_us=0,
        place_unscored=in_four_hours,
        enqueue=lambda _connection, _job: None,
        max_images=9,
    )


def test_a_signed_read_is_amended_by_another_and_never_altered(place: Place) -> None:
    reads = reading_tables.reads
    with opened(place) as database:
        with database.writing() as connection:
            _one_study(connection)
            draft = connection.execute(insert(reads).values(READ).returning(reads.c.id)).scalar_one()
            connection.execute(reads.update().values(version=2, note="more"))
            connection.execute(reads.update().values(**SIGNED))
            amendment = {"amends": draft, "amendment_reason": "wrong side"}
            connection.execute(insert(reads).values(READ | SIGNED | amendment))
        for statement in ("UPDATE reads SET note = 'less'", "DELETE FROM reads"):
            with (
                pytest.raises(DBAPIError, match="a signed read is never altered"),
                database.writing() as connection,
            ):
                connection.exec_driver_sql(statement)
        with pytest.raises(IntegrityError), database.writing() as connection:
            connection.execute(insert(reads).values(READ | SIGNED | amendment | {"reader": "wang"}))
