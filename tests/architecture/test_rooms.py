"""The rules of the house that no linter knows."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("data", "models", "training", "serving")
FORBIDDEN_NAMES = {"utils", "helpers", "common", "base", "manager", "misc"}
MODULES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def _imports_after(statement: str) -> set[str]:
    listing = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{listing}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_no_other_distribution_owns_the_four_names() -> None:
    owners = metadata.packages_distributions()
    for room in ROOMS:
        assert set(owners.get(room, ["firstread"])) <= {"firstread"}, (
            f"{room} is also owned by {owners[room]}"
        )


@pytest.mark.parametrize("room", ROOMS)
def test_every_folder_with_python_is_a_package_that_the_contracts_can_see(room: str) -> None:
    folders = {path.parent for path in (ROOT / room).rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_every_module_opens_with_a_sentence_that_says_what_it_is_for() -> None:
    for path in MODULES:
        text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
        assert text is not None, f"{path} has no docstring"
        assert len(text.split()) >= 4, f"{path} has no docstring"


def test_no_module_is_a_drawer_for_odds_and_ends() -> None:
    assert [path for path in MODULES if path.stem in FORBIDDEN_NAMES] == []


def test_serving_starts_without_torch_and_without_the_scientific_stack() -> None:
    loaded = _imports_after("import serving.app, serving.cli")
    assert loaded.isdisjoint({"torch", "torchvision", "scipy", "sklearn", "skimage", "matplotlib"})


def test_the_changelog_s_head_is_the_version() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    head = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert head is not None
    assert head.group(1) == version


def test_nothing_tracked_is_larger_than_what_may_be_shipped() -> None:
    done = subprocess.run(["git", "ls-files", "-z"], capture_output=True, cwd=ROOT, check=False)
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in done.stdout.decode().split("\0") if name]
    assert [file for file in files if file.is_file() and file.stat().st_size > 20 * 2**20] == []
