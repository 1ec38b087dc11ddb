import signal
from pathlib import Path

import pytest

from tests.journeys.process import PATIENCE_S, started
from tests.tiny_model import write_tiny_artifact


def test_the_demo_runs_without_real_data_and_says_so(tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    with started("demo", "--models", str(models), home=None, log=tmp_path / "log") as program:
        entries = program.wait_until_scored(10)
        said = program.log.read_text(encoding="utf-8")
        assert "10 synthetic studies, since FIRSTREAD_DATASETS is not set" in said
        assert "request_id" not in said  # the address is to be found
        assert {entry["state"] for entry in entries} == {"scored", "abstained"}
        program.process.send_signal(signal.SIGINT)
        program.process.wait(PATIENCE_S)
        assert program.process.returncode == 0
    home = said.split("(home: ")[1].split(")")[0]
    assert not Path(home).exists()


@pytest.mark.datasets
def test_the_demo_takes_real_photographs_where_there_are_any(tmp_path: Path, datasets: Path) -> None:
    models = tmp_path / "models"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    with started(
        "demo",
        "--models",
        str(models),
        home=tmp_path / "home",
        log=tmp_path / "log",
        FIRSTREAD_DATASETS=str(datasets),
    ) as program:
        entries = program.wait_until_scored(20)
        assert "20 real photographs of HAM10000, 3 melanomas" in program.log.read_text(encoding="utf-8")
        assert {entry["state"] for entry in entries} == {"scored"}
