"""Damaged files of every kind give pictures or a coded reason, never a crash."""

import random
from pathlib import Path

import pytest

from data.dicom.grouping import read_studies
from data.errors import ImageError

N_DAMAGED = 400


@pytest.mark.datasets
def test_damaged_files_of_the_corpus_give_pictures_or_reasons(datasets: Path, tmp_path: Path) -> None:
    chance = random.Random(7)
    sound = [
        path for path in sorted((datasets / "dicom_corpus").rglob("*.dcm")) if path.stat().st_size < 60_000
    ]
    damaged = tmp_path / "damaged.dcm"
    n_judged = 0
    for _ in range(N_DAMAGED):
        content = bytearray(chance.choice(sound).read_bytes())
        # Half of the damage hits the header, where most of the ways to fail are.
        end = len(content) if chance.random() < 0.5 else min(len(content), 3000)
        for _ in range(chance.choice([1, 2, 5, 20])):
            content[chance.randrange(128, end)] = chance.choice([0, 255, chance.randrange(256)])
        damaged.write_bytes(
            content[: chance.randrange(128, len(content))] if chance.random() < 0.2 else content
        )
        studies, rejected = read_studies([damaged])
        try:
            n_frames = sum(frame.displayed().size > 0 for study in studies for frame in study.frames)
        except ImageError:
            n_frames = 1
        n_judged += bool(rejected) or n_frames > 0
    assert n_judged == N_DAMAGED
