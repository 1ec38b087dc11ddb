"""Fills a database with a long queue: scored studies of a thousand sites, half of them at one large site."""

from sqlalchemy import Connection, text

from serving.store.database import Database
from serving.store.sites import LOCAL_SITE, ensure_local_site

N_SITES = 1000

# A number's place in the queue looks random, and is the same in each run: 7919 and 1000003 are primes.
_SITE = f"CASE WHEN n % 2 = 0 THEN '{LOCAL_SITE}' ELSE 'site-' || CAST((n / 2) % {N_SITES} AS TEXT) END"
_DUE_AT = "((CAST(n AS BIGINT) * 7919) % 1000003) * 1000"

_FILL = (
    f"""
    INSERT INTO studies (id, site_id, key, uid, accession, description, modality, received_at, priority,
        state, revision, n_attempts, n_images)
    SELECT n, {_SITE}, 'study-' || CAST(n AS TEXT), '2.25.' || CAST(n AS TEXT), '', '', 'DMS', n, 'routine',
        'scored', 1, 1, 1 FROM numbers
    """,
    f"""
    INSERT INTO instances (id, site_id, study_id, sop_instance_uid, series_uid, modality, n_frames, rows,
        columns, sha256, file_name, received_at)
    SELECT n, {_SITE}, n, '2.25.9.' || CAST(n AS TEXT), 's', 'DMS', 1, 600, 600, 'the same', 'mole.jpg', n
    FROM numbers
    """,
    f"""
    INSERT INTO scores (id, site_id, study_id, revision, scored_at, model_name, model_version, onnx_sha256,
        preprocessing_sha256, provider, operating_point, probabilities, is_abstained, unread)
    SELECT n, {_SITE}, n, 1, n, 'derm-lesion', '2', 'x', 'y', 'CPU', '{{}}', '[]', FALSE, '[]' FROM numbers
    """,
    """
    INSERT INTO key_images (score_id, rank, sop_instance_uid, frame_number, contour)
    SELECT n, 0, '2.25.9.' || CAST(n AS TEXT), 1, '[]' FROM numbers
    """,
    f"""
    INSERT INTO queue_entries (study_id, site_id, is_waiting, due_at, tier, reason_en, reason_zh,
        policy_version)
    SELECT n, {_SITE}, TRUE, {_DUE_AT}, 'routine', 'naevus 93 %: read within 24 h',
        '色素痣 93 %：24 小时内阅片', '1' FROM numbers
    """,
)


def fill(database: Database, *, first: int, last: int) -> None:
    """Add the studies of some numbers, and let the database count what it has."""
    with database.writing() as connection:
        if first == 1:
            _prepare(connection)
        for statement in _FILL:
            connection.execute(text(_among(connection, statement)), {"first": first, "last": last})
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE" if connection.dialect.name == "sqlite" else "VACUUM ANALYZE"))


def _prepare(connection: Connection) -> None:
    ensure_local_site(connection)
    sites = [{"id": f"site-{number}", "name": f"Site {number}"} for number in range(N_SITES)]
    connection.execute(text("INSERT INTO sites (id, name) VALUES (:id, :name)"), sites)
    connection.execute(text("INSERT INTO objects (sha256, n_bytes, stored_at) VALUES ('the same', 1, 1)"))


def _among(connection: Connection, statement: str) -> str:
    if connection.dialect.name == "postgresql":
        numbers = "numbers AS (SELECT n FROM generate_series(CAST(:first AS int), CAST(:last AS int)) AS n)"
    else:
        numbers = (
            "RECURSIVE numbers(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)"
        )
        numbers = numbers.removeprefix("RECURSIVE ")
        return statement.replace("SELECT n,", f"WITH RECURSIVE {numbers} SELECT n,", 1)
    return statement.replace("SELECT n,", f"WITH {numbers} SELECT n,", 1)
