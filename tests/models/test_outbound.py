import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["models.runtime", "serving.scoring.scorer"])
def test_loading_the_runtime_does_not_start_its_telemetry(tmp_path: Path, module: str) -> None:
    # Its telemetry begins by leaving a session's file in the temporary folder.
    environment = {key: value for key, value in os.environ.items() if key != "ORT_DISABLE_TELEMETRY"}

    subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        check=True,
        cwd=Path(__file__).parents[2],
        env={**environment, "TMPDIR": str(tmp_path)},
    )

    assert not list(tmp_path.iterdir())
