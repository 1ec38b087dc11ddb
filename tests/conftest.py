"""What tests share: where the real images are."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def datasets() -> Path:
    """Give the folder of real data sets, or skip."""
    named = os.environ.get("FIRSTREAD_DATASETS")
    folder = Path(named) if named else ROOT.parent / "shared" / "datasets"
    if not folder.is_dir():
        pytest.skip(f"no real images: {folder} does not exist (set FIRSTREAD_DATASETS)")
    return folder
