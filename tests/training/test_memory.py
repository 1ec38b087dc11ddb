import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from training.memory import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
block = np.ones(100_000_000, np.uint8)
del block
with open("/proc/self/statm") as facts:
    print(int(facts.read().split()[1]) * resource.getpagesize())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="tells the memory in use by /proc, as Linux has it")
def test_memory_that_was_freed_stays_with_the_process() -> None:
    given_back, kept = (_resident_bytes(mode) for mode in ("give-back", "keep"))

    assert kept - given_back > 90_000_000


def _resident_bytes(mode: str) -> int:
    command = [sys.executable, "-c", PROGRAM, mode]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout)
