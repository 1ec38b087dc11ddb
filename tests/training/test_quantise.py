"""A network in integers is made, measured beside the one in floating point, and refused where it costs."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.artifact import Artifact, write_artifact
from models.calibration import softmax
from models.card import ModelCard, Precision, VariantFigures
from models.errors import ArtifactError
from models.novelty import NoveltyModel
from models.runtime import Session
from tests.tiny_model import tiny_card, tiny_graph
from training.errors import ExportError
from training.graph import behind_convolutions, nodes_before
from training.quantise import Pictures, in_turn, quantise, reasons_against, to_int8, verdict
from training.units import Judged

SIDE = 32
N_CHANNELS = 8
FLOATS = VariantFigures(
    macro_auc=0.95,
    auc_positive=0.92,
    sensitivity=0.9,
    specificity=0.8,
    novelty_acceptance=0.98,
    frame_ms=2.0,
    n_bytes=4000,
)


def chain(*, outlier: float = 1.0, with_windows: bool = False) -> bytes:
    """Build three convolutions and a head: the brighter a picture, the more malignant.

    The first channel carries brightness. The last is brightness times `outlier` between the second and the
    third convolution, and the third does not look at it. With windows three channels become nine first.
    """
    n_inputs = 9 if with_windows else 3
    mean = np.zeros((N_CHANNELS, n_inputs, 1, 1), np.float32)
    mean[:] = 1 / n_inputs
    same = np.eye(N_CHANNELS, dtype=np.float32).reshape(N_CHANNELS, N_CHANNELS, 1, 1)
    loud, deaf = same.copy(), same.copy()
    loud[-1, -1], deaf[-1, -1] = outlier, 0.0
    head = np.zeros((N_CHANNELS, 2), np.float32)
    head[0] = -20.0, 20.0
    constants: dict[str, NDArray[np.generic]] = {
        "full": np.array(255.0, np.float32),
        "low": np.array(0.0, np.float32),
        "high": np.array(1.0, np.float32),
        "mean": mean,
        "loud": loud,
        "deaf": deaf,
        "zeros": np.zeros(N_CHANNELS, np.float32),
        "head": head,
        "bias": np.array([10.0, -10.0], np.float32),
    }
    node = helper.make_node
    windows = [
        node("Clip", ["planes", "low", "high"], ["clamped"]),
        node("Concat", ["planes", "clamped", "planes"], ["shown"], axis=1),
    ]
    nodes = [
        node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        node("Div", ["real", "full"], ["scaled"]),
        node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        *(windows if with_windows else [node("Identity", ["planes"], ["shown"])]),
        node("Conv", ["shown", "mean", "zeros"], ["first"], strides=[4, 4]),
        node("Relu", ["first"], ["first_seen"]),
        node("Conv", ["first_seen", "loud", "zeros"], ["second"]),
        node("Relu", ["second"], ["second_seen"]),
        node("Conv", ["second_seen", "deaf", "zeros"], ["third"]),
        node("Relu", ["third"], ["seen"]),
        node("GlobalAveragePool", ["seen"], ["pooled"]),
        node("Flatten", ["pooled"], ["features"]),
        node("Gemm", ["features", "head", "bias"], ["logits"]),
        node("Transpose", ["seen"], ["seen_last"], perm=[0, 2, 3, 1]),
        node("MatMul", ["seen_last", "head"], ["map"]),
    ]
    shapes: dict[str, list[str | int | None]] = {
        "logits": ["batch", 2],
        "features": ["batch", N_CHANNELS],
        "map": ["batch", SIDE // 4, SIDE // 4, 2],
    }
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def pictures(*, n: int = 48, labels: Sequence[int] = (0, 1)) -> Pictures:
    """Draw dark benign and bright malignant pictures, each with a bright corner of its own."""
    draws = np.random.default_rng(5)
    truth = np.resize(np.array(labels, np.int64), n)
    level = np.where(truth == 1, draws.integers(170, 220, n), draws.integers(30, 80, n))
    pixels = np.broadcast_to(level[:, None, None, None], (n, SIDE, SIDE, 3)).astype(np.uint8)
    pixels[:, :8, :8] = 255
    rows = np.arange(16, n, dtype=np.intp)
    return Pictures(
        pixels[:16], pixels, rows, truth[rows], "fold 1 of 5", judge=partial(by_picture, truth[rows])
    )


def by_picture(labels: NDArray[np.int64], logits: NDArray[np.float32], card: ModelCard) -> Judged:
    names = np.arange(len(labels)).astype(str)
    return Judged(softmax(logits, card.calibration.temperature), labels, names, names)


def by_pairs(labels: NDArray[np.int64], logits: NDArray[np.float32], card: ModelCard) -> Judged:
    """Take two and two pictures for a study, which the more malignant of them decides."""
    pairs = logits.reshape(-1, 2, 2)
    worse = pairs[np.arange(len(pairs)), pairs[..., 1].argmax(axis=1)]
    return by_picture(labels.reshape(-1, 2).max(axis=1), worse, card)


def staged(folder: Path, network: bytes, *, novelty: NoveltyModel | None = None) -> Artifact:
    return write_artifact(folder / "staged" / "1", onnx=network, card=tiny_card(), novelty=novelty)


def operators(network: bytes) -> dict[str, list[onnx.NodeProto]]:
    kinds: dict[str, list[onnx.NodeProto]] = {}
    for node in onnx.load_from_string(network).graph.node:
        kinds.setdefault(node.op_type, []).append(node)
    return kinds


def test_a_network_that_integers_do_no_harm_is_accepted_and_bound(tmp_path: Path) -> None:
    plain = staged(tmp_path, chain())

    network, variants = quantise(plain, pictures())

    assert network is not None
    assert variants.refusals == ()
    assert variants.float32.macro_auc == variants.int8.macro_auc == 1.0
    assert variants.int8.sensitivity == 1.0
    assert variants.map_correlation is not None
    assert variants.map_correlation > 0.99
    assert "32 pictures of fold 1 of 5, operating point balanced" in variants.measured_on
    assert variants.on_cpu == ("int8" if variants.int8.frame_ms < variants.float32.frame_ms else "float")
    written = write_artifact(
        tmp_path / "1",
        onnx=chain(),
        int8=network,
        card=plain.card.model_dump(mode="json") | {"variants": variants.model_dump(mode="json")},
    )
    assert written.card.variants == variants


def test_outliers_that_leave_no_levels_for_the_rest_are_refused(tmp_path: Path) -> None:
    """One channel a million times the others: in 256 levels the others are all 0."""
    hostile = staged(tmp_path, chain(outlier=1e6))

    network, variants = quantise(hostile, pictures())

    assert network is None
    assert variants.int8_sha256 is None
    assert variants.on_cpu is Precision.FLOAT
    assert variants.float32.macro_auc == 1.0
    assert variants.int8.macro_auc == 0.5
    assert "macro AUC falls from 1.0000 to 0.5000, at most 0.003 is allowed" in variants.refusals
    assert verdict(variants).startswith("Eight-bit integers were refused: macro AUC falls")
    card = hostile.card.model_dump(mode="json") | {"variants": variants.model_dump(mode="json")}
    written = write_artifact(tmp_path / "1", onnx=chain(outlier=1e6), card=card)
    assert Session(written).precision is Precision.FLOAT
    with pytest.raises(ArtifactError, match="macro AUC falls"):
        Session(written, precision=Precision.INT8)


def test_outputs_stay_near_those_in_floating_point(tmp_path: Path) -> None:
    network = chain()
    shown = pictures()
    integers = write_artifact(
        tmp_path / "2", onnx=to_int8(network, shown.of_training), card=tiny_card(version="2")
    )

    ours = Session(staged(tmp_path, network)).run(shown.pixels)
    theirs = Session(integers).run(shown.pixels)

    np.testing.assert_allclose(theirs.features, ours.features, atol=0.01)  # of 1, in 255 levels
    np.testing.assert_allclose(theirs.logits, ours.logits, atol=0.4)  # 40 times as much
    np.testing.assert_allclose(theirs.maps, ours.maps, atol=0.4)


@pytest.mark.parametrize("with_windows", [False, True])
def test_all_up_to_the_first_convolution_and_the_head_stay_in_floating_point(with_windows: bool) -> None:
    kinds = operators(to_int8(chain(with_windows=with_windows), pictures().of_training))

    dequantised = {node.output[0] for node in kinds["DequantizeLinear"]}
    in_integers = [node for node in kinds["Conv"] if node.input[0] in dequantised]
    assert len(kinds["Conv"]) == 3
    assert len(in_integers) == 2
    for node in (*kinds.get("Clip", []), *kinds.get("Concat", [])):
        assert not dequantised & set(node.input)
    assert len(kinds["Gemm"]) == len(kinds["MatMul"]) == 1


def test_the_same_pictures_give_the_same_file_and_it_tells_no_place() -> None:
    shown = pictures()

    network = to_int8(chain(), shown.of_training)

    assert network == to_int8(chain(), shown.of_training)
    model = onnx.load_from_string(network)
    assert not model.metadata_props
    assert not model.doc_string
    assert b"/" not in b"".join(node.name.encode() for node in model.graph.node)


def test_weights_keep_to_seven_bits() -> None:
    model = onnx.load_from_string(to_int8(chain(), pictures().of_training))

    weights = [
        numpy_helper.to_array(tensor)
        for tensor in model.graph.initializer
        if tensor.data_type == TensorProto.INT8 and len(tensor.dims) == 4
    ]
    assert len(weights) == 2
    assert all(np.abs(array.astype(int)).max() == 64 for array in weights)


def test_pictures_that_become_new_in_integers_are_a_reason_to_refuse(tmp_path: Path) -> None:
    """Of features that hardly vary, one level of an activation is many standard deviations."""
    shown, graph = pictures(), chain(outlier=1.3)  # so that 255 levels of grey are not 255 of the range
    features = Session(staged(tmp_path / "plain", graph)).run(shown.pixels).features
    narrow = NoveltyModel(
        means=features,
        basis=np.eye(N_CHANNELS, dtype=np.float32)[:, :1],
        scales=np.array([1e-6], np.float32),
        residual_scale=1e-6,
        threshold=10.0,
        acceptance=0.99,
    )

    network, variants = quantise(staged(tmp_path, graph, novelty=narrow), shown)

    assert network is None
    assert variants.float32.novelty_acceptance == 1.0
    assert [reason.split(" falls")[0] for reason in variants.refusals] == ["acceptance as not new"]


def test_a_network_with_a_single_convolution_has_nothing_to_quantise() -> None:
    with pytest.raises(ExportError, match="nothing to quantise; export it with --no-int8"):
        to_int8(tiny_graph(), pictures().of_training)


def test_pictures_of_one_kind_measure_nothing(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="32 held-out pictures are all of one kind"):
        quantise(staged(tmp_path, chain()), pictures(labels=(1,)))


@pytest.mark.parametrize(
    ("change", "reasons"),
    [
        ({}, []),
        ({"macro_auc": 0.947, "auc_positive": 0.917, "sensitivity": 0.895}, []),  # just the limits
        ({"novelty_acceptance": 0.97, "specificity": 0.5}, []),
        ({"macro_auc": 0.96, "sensitivity": 1.0}, []),
        ({"macro_auc": 0.9469}, ["macro AUC falls from 0.9500 to 0.9469, at most 0.003 is allowed"]),
        ({"auc_positive": 0.9}, ["AUC of the dangerous classes falls from 0.9200 to 0.9000"]),
        ({"sensitivity": 0.8949}, ["sensitivity falls from 0.9000 to 0.8949, at most 0.005"]),
        ({"novelty_acceptance": 0.9699}, ["acceptance as not new falls from 0.9800 to 0.9699"]),
        ({"n_bytes": 20_000_001}, ["its file has 20,000,001 bytes, at most 20,000,000 are allowed"]),
        ({"macro_auc": 0.5, "sensitivity": 0.0}, ["macro AUC", "sensitivity"]),
    ],
)
def test_what_may_be_lost_has_a_limit(change: dict[str, float], reasons: list[str]) -> None:
    found = reasons_against(FLOATS, FLOATS.model_copy(update=change))

    assert len(found) == len(reasons)
    assert all(said.startswith(reason) for said, reason in zip(found, reasons, strict=True))


def test_the_operating_point_is_measured_on_studies_where_it_is_for_them(tmp_path: Path) -> None:
    shown = pictures()
    mislabelled = np.zeros_like(shown.labels)
    mislabelled[::4] = 1  # half of the studies; all hold a bright picture
    studies = replace(shown, judge=partial(by_pairs, mislabelled))

    _, variants = quantise(staged(tmp_path, chain()), studies)

    assert (variants.float32.macro_auc, variants.float32.auc_positive) == (1.0, 1.0)
    assert (variants.float32.sensitivity, variants.float32.specificity) == (1.0, 0.0)


def test_without_novelty_its_acceptance_is_not_asked_for() -> None:
    without = FLOATS.model_copy(update={"novelty_acceptance": None})

    assert reasons_against(without, without) == ()


def test_things_timed_in_turn_run_equally_often() -> None:
    runs: list[str] = []

    in_turn(lambda: runs.append("a"), lambda: runs.append("b"))

    assert runs == ["a", "b"] * (len(runs) // 2)


def test_what_stands_behind_a_convolution_is_known_by_the_way_to_an_output() -> None:
    graph = onnx.load_from_string(chain()).graph
    for place, node in enumerate(graph.node):
        node.name = f"{place}-{node.output[0]}"

    behind = [name.split("-")[1] for name in behind_convolutions(graph, leading_to="features")]

    assert behind == ["first_seen", "second", "second_seen", "third", "seen", "pooled", "features"]
    assert {name.split("-")[1] for name in nodes_before(graph, ["scaled"])} == {"real", "scaled"}
