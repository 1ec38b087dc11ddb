import json
from dataclasses import replace
from pathlib import Path

import pytest

from serving.audit.opening import opened_trail
from serving.audit.trail import SERVICE
from serving.settings import Settings
from serving.store.audit import read_rows
from serving.store.audit_chain import Action, AuditEvent
from tests.journeys.kills.campaign import Plan, installed, probe, run
from tests.journeys.kills.ledger import KnownStudy, Ledger
from tests.journeys.kills.material import photograph
from tests.journeys.kills.reckoning import reckon
from tests.journeys.kills.report import summary
from tests.serving.store.databases import postgresql_programs


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_kill_9_at_random_moments_loses_nothing_that_was_acknowledged(tmp_path: Path, database: str) -> None:
    if database == "postgresql" and postgresql_programs() is None:
        pytest.skip("no PostgreSQL server: apt-get install postgresql (make test does so as root)")
    plan = Plan(n_kills=5, seed=4, n_senders=3, longest_between_s=1.0)

    campaign = run(plan, tmp_path, database=database)

    found = campaign.reckoning
    assert not found.problems, summary(campaign)
    assert found.counts["acknowledged"] > 20
    assert sum(found.left_behind.values()) == 0


def test_a_campaign_that_lost_something_would_say_so(tmp_path: Path) -> None:
    ledger = Ledger()
    with installed(tmp_path, database="sqlite") as installation:
        probe(installation.client, ledger, 1, 1)
        (known,) = ledger.studies.values()
        never_sent = photograph(1, 2)
        known.images[never_sent.sha256] = never_sent
        known.priority = "stat"
        ledger.studies["0" * 32] = KnownStudy("0" * 32)

        def stop() -> None:
            installation.programs[0].stop()
            _score_once_more(installation.home)

        found = reckon(
            ledger,
            installation.client,
            home=installation.home,
            environment=installation.environment,
            stop=stop,
        )

    assert any(never_sent.name in line and "is not there" in line for line in found.lost)
    assert any("0" * 32 in line and "cannot be read" in line for line in found.lost)
    assert any("stands 2 times in the trail" in line for line in found.scored_twice)


def _score_once_more(home: Path) -> None:
    """Write down in the trail, as a second worker would have, that a study was scored."""
    with opened_trail(Settings(home=home)) as trail:
        with trail.database.reading() as connection:
            (row,) = [row for row in read_rows(connection) if row.action == "scored"]
        event = AuditEvent(
            Action.SCORED, SERVICE, row.site, row.at_us, study_uid=row.study_uid, model=row.model
        )
        trail.note(replace(event, details=json.loads(row.details)))
