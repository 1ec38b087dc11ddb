"""`python -m tests.journeys.two_hosts`: serve on one host, a worker on another, the wires are cut."""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from tests.journeys.two_hosts.run import run, table


def main() -> int:
    """Run it."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--cut-s", type=float, default=30.0, help="How long each wire is cut.")
    options.add_argument("--keep", type=Path, help="Folder to work in and to leave behind.")
    given = options.parse_args()
    # For what reads the bucket in this process.
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "tests",
        "AWS_SECRET_ACCESS_KEY": "tests",
        "AWS_REGION": "eu-central-1",
    }
    if given.keep is not None:
        given.keep.mkdir(parents=True)
        found = run(given.keep, cut_s=given.cut_s)
    else:
        with tempfile.TemporaryDirectory(prefix="firstread-hosts-") as folder:
            found = run(Path(folder), cut_s=given.cut_s)
    print(table(found))
    return 1 if found.reckoning.problems else 0


if __name__ == "__main__":
    sys.exit(main())
