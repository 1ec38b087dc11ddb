"""`python -m tests.journeys.kills --kills 200 --database sqlite` prints a table; status 1 if any is lost."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.journeys.kills.campaign import Plan, run
from tests.journeys.kills.report import summary, table


def main() -> int:
    """Run a campaign."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--senders", type=int, default=4)
    options.add_argument("--keep", type=Path, help="Folder to work in and to leave behind.")
    given = options.parse_args()
    plan = Plan(n_kills=given.kills, seed=given.seed, n_senders=given.senders)
    if given.keep is not None:
        given.keep.mkdir(parents=True)
        campaign = run(plan, given.keep, database=given.database)
    else:
        with tempfile.TemporaryDirectory(prefix="firstread-kills-") as folder:
            campaign = run(plan, Path(folder), database=given.database)
    print(f"{table(campaign)}\n\n{summary(campaign)}")
    return 1 if campaign.reckoning.problems else 0


if __name__ == "__main__":
    sys.exit(main())
