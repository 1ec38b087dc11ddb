from pathlib import Path

import pytest

from tests.journeys.kills.campaign import Plan, run
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
