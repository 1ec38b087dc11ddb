"""A fixed number of inputs from a fixed seed for each fuzz target; `make fuzz` goes on for longer."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).resolve().parents[2]
RUNS = {"multipart": 1000, "archive": 1000, "header": 1000, "hl7": 2000}


@pytest.mark.parametrize("name", TARGETS)
def test_the_inputs_to_begin_with_are_taken(name: str, tmp_path: Path) -> None:
    for seed in TARGETS[name].seeds:
        TARGETS[name].take(seed, tmp_path)


@pytest.mark.parametrize("name", TARGETS)
def test_no_input_raises_anything_but_a_refusal(name: str, tmp_path: Path) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("Atheris has no wheel for this interpreter: nothing is fuzzed")
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz", name, "--runs", str(RUNS[name]), "--folder", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    crashes = [(path.name, path.read_bytes()) for path in tmp_path.glob("*-*") if path.is_file()]
    assert (done.returncode, crashes) == (0, []), done.stderr[-4000:]
    assert f"stat::number_of_executed_units: {RUNS[name]}" in done.stderr
