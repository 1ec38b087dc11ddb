"""Errors cross a process border whole and say what is wrong where, and what mends it."""

import pickle  # noqa: TID251 - what the scoring pool does with an error
from pathlib import Path

import pytest

from models.errors import ArtifactError, InputError, ModelError, NoModelError, OutputError, ProviderError

ERRORS = [
    ArtifactError(Path("derm/1"), "card.json", "has no calibration", "run calibrate"),
    ProviderError(["CUDAExecutionProvider"], ["CPUExecutionProvider"], "lack CUDAExecutionProvider"),
    NoModelError("1.2.3", "is taken by no model"),
    InputError("takes another shape"),
    OutputError("gave a logit that is not a finite number"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_crosses_a_process_border_whole(error: ModelError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
