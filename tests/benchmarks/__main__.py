"""Runs the benchmarks: all of them, or those whose names hold one of the words given.

Usage: ``make bench``, or ``python -m tests.benchmarks photo database``.
"""

import importlib
import os
import platform
import sys
from pathlib import Path

from tests.benchmarks.material import BenchmarkSkippedError
from tests.benchmarks.measuring import Figure, table


def main(words: list[str]) -> int:
    """Run and print; exit status 1 only if a benchmark itself failed."""
    folder = Path(__file__).parent
    names = [path.stem for path in sorted(folder.glob("bench_*.py"))]
    chosen = [name for name in names if not words or any(word in name for word in words)]
    if not chosen:
        print(f"no benchmark is named like {' '.join(words)}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    machine = platform.processor() or platform.machine()
    print(f"{machine}, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    figures: list[Figure] = []
    failed = False
    for name in chosen:
        print(f"... {name}", file=sys.stderr, flush=True)
        try:
            figures += importlib.import_module(f"tests.benchmarks.{name}").measure()
        except BenchmarkSkippedError as skipped:
            print(f"{name}: skipped, {skipped}", file=sys.stderr)
        except Exception as error:  # noqa: BLE001 - one broken benchmark must not hide the others' figures
            failed = True
            print(f"{name}: failed, {error!r}", file=sys.stderr)
    print(table(figures))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
