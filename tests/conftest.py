"""What tests share: where the real images are."""

import os
import signal
from pathlib import Path

import pytest

from tests.serving.store.databases import (  # noqa: F401 - fixtures
    empty_place,
    place,
    postgresql,
    postgresql_address,
)

ROOT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Take Ctrl-C, also where a shell that started the tests in the background has them ignore it.

    The programs under test would inherit that, and their tests of Ctrl-C wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def datasets() -> Path:
    """Give the folder of real data sets, or skip."""
    named = os.environ.get("FIRSTREAD_DATASETS")
    folder = Path(named) if named else ROOT.parent / "shared" / "datasets"
    if not folder.is_dir():
        pytest.skip(f"no real images: {folder} does not exist (set FIRSTREAD_DATASETS)")
    return folder
