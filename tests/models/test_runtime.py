"""The runtime loads what the card describes, refuses the rest and says where it runs."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from models.artifact import Artifact, write_artifact
from models.errors import ArtifactError, InputError, ProviderError
from models.runtime import CPU, Session, available_providers
from tests.tiny_model import tiny_card, tiny_graph, tiny_logits, tiny_novelty, write_tiny_artifact

CLASSES = ("none", "mild", "severe")


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    return write_tiny_artifact(tmp_path, classes=CLASSES, with_novelty=True)


def test_logits_are_those_worked_out_by_hand(artifact: Artifact) -> None:
    batch = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    outputs = Session(artifact).run(batch)
    np.testing.assert_allclose(outputs.logits, tiny_logits(batch, 3), atol=1e-5)


def test_the_mean_of_a_map_plus_the_bias_is_the_logit(artifact: Artifact) -> None:
    batch = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    outputs = Session(artifact).run(batch)
    bias = -2.0 * np.linspace(-1, 1, 3)
    assert outputs.maps.shape == (2, 4, 4, 3)
    np.testing.assert_allclose(outputs.maps.mean(axis=(1, 2)) + bias, outputs.logits, atol=1e-5)


def test_a_batch_gives_what_its_pictures_give_alone(artifact: Artifact) -> None:
    session = Session(artifact)
    batch = np.random.default_rng(2).integers(0, 256, (5, 32, 32, 3), np.uint8)
    alone = np.concatenate([session.run(picture[None]).logits for picture in batch])
    np.testing.assert_allclose(session.run(batch).logits, alone, atol=1e-6)


def test_a_large_batch_is_run_in_parts_and_comes_back_in_order(artifact: Artifact) -> None:
    batch = np.random.default_rng(3).integers(0, 256, (150, 32, 32, 3), np.uint8)
    outputs = Session(artifact).run(batch)
    np.testing.assert_allclose(outputs.logits, tiny_logits(batch, 3), atol=1e-5)
    assert outputs.features.shape == (150, 8)
    assert outputs.maps.shape == (150, 4, 4, 3)


def test_threads_that_share_a_session_each_get_their_own_answer(artifact: Artifact) -> None:
    session = Session(artifact)
    batches = [np.full((4, 32, 32, 3), level, np.uint8) for level in range(0, 256, 8)]
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda batch: session.run(batch).logits, batches))
    for batch, logits in zip(batches, answers, strict=True):
        np.testing.assert_allclose(logits, tiny_logits(batch, 3), atol=1e-5)


def test_the_active_providers_are_reported(artifact: Artifact) -> None:
    assert Session(artifact).providers == (CPU,)
    assert CPU in available_providers()


@pytest.mark.parametrize("providers", [("NoSuchExecutionProvider",), ("NoSuchExecutionProvider", CPU), ()])
def test_a_missing_provider_is_refused_and_not_replaced_by_the_cpu(
    artifact: Artifact, providers: tuple[str, ...]
) -> None:
    with pytest.raises(ProviderError, match="CPUExecutionProvider"):
        Session(artifact, providers=providers)


@pytest.mark.parametrize(
    "batch",
    [
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((1, 31, 32, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((0, 32, 32, 3), np.uint8),
    ],
)
def test_a_batch_of_another_shape_or_type_is_refused(artifact: Artifact, batch: np.ndarray) -> None:
    with pytest.raises(InputError, match=r"takes \(n, 32, 32, 3\) uint8"):
        Session(artifact).run(batch)


@pytest.mark.parametrize(
    ("graph", "problem"),
    [
        (b"not a graph", "cannot be loaded"),
        (b"", "cannot be loaded"),
        (tiny_graph(omit="map"), "no 'map'"),
        (tiny_graph(omit="features"), "no 'features'"),
        (tiny_graph(n_classes=5), "the last 2"),
        (tiny_graph(side=64), r"expected tensor\(uint8\)"),
        (tiny_graph(dtype=TensorProto.FLOAT), r"takes tensor\(float\)"),
    ],
)
def test_a_graph_that_is_not_what_the_card_says_is_refused(
    tmp_path: Path, graph: bytes, problem: str
) -> None:
    artifact = write_artifact(tmp_path / "tiny" / "1", onnx=graph, card=tiny_card())
    with pytest.raises(ArtifactError, match=problem) as refusal:
        Session(artifact)
    assert refusal.value.file == "model.onnx"


def test_novelty_fitted_on_other_features_is_refused(tmp_path: Path) -> None:
    known = tiny_novelty()
    other = replace(known, means=known.means[:, :5], basis=known.basis[:5])
    artifact = write_artifact(tmp_path / "1", onnx=tiny_graph(), card=tiny_card(), novelty=other)
    with pytest.raises(ArtifactError, match=r"8 features, but novelty\.npz was fitted on 5"):
        Session(artifact)


def test_a_card_that_says_flips_needs_a_graph_that_does_them(tmp_path: Path) -> None:
    card = tiny_card()
    card["input"] = {"height": 32, "width": 32, "colour": "rgb", "resize": "squash", "flips": True}
    Session(write_artifact(tmp_path / "1", onnx=tiny_graph(), card=card))
    one_sided = write_artifact(tmp_path / "2", onnx=tiny_graph(is_one_sided=True), card=card)
    with pytest.raises(ArtifactError, match="its mirror image apart"):
        Session(one_sided)


def test_finding_a_model_does_not_load_the_runtime() -> None:
    program = "import sys, models.registry; print('onnxruntime' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert done.stdout.strip() == "False"
