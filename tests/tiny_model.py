"""A model of a few numbers that tests can score with: the redder and brighter a picture, the worse.

Its graph is a real one with all three outputs. Each cell of an 8 x 8 pooled picture has eight features;
the logits are linear in their mean, so a reader can work them out by hand::

    evidence = 8 * redness + 4 * brightness - 2      redness = mean of max(R - (G + B) / 2, 0), in 0 to 1
    logits   = evidence * linspace(-1, 1, n_classes)

So a black picture is the first class, a white or red one the last.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from data.study import Modality
from models.artifact import Artifact, write_artifact
from models.card import Colour, Pooling, Resize
from models.novelty import NoveltyModel

POOL = 8  # pixels on each side of a map's cell
N_FEATURES = 8

# Rows: what a feature reads of red, green, blue; a feature is never negative.
READS = np.array(
    [
        [1.0, -0.5, -0.5],  # redness
        [1 / 3, 1 / 3, 1 / 3],  # brightness
        [-0.5, -0.5, 1.0],  # blueness
        [-0.5, 1.0, -0.5],  # greenness
        [1.0, 0.0, 0.0],
        [0.0, 1.0, 0.0],
        [0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0],
    ],
    np.float32,
)
EVIDENCE = np.array([8.0, 4.0, 0, 0, 0, 0, 0, 0], np.float32)
EVIDENCE_BIAS = -2.0


def tiny_graph(
    *,
    n_classes: int = 2,
    side: int = 32,
    omit: str = "",
    dtype: int = TensorProto.UINT8,
    is_one_sided: bool = False,
) -> bytes:
    """Build the graph.

    For tests of refusals, `omit` names an output to leave out, and a one-sided graph looks at the left
    half of the picture only.
    """
    strength = np.linspace(-1.0, 1.0, n_classes, dtype=np.float32)
    cells = side // POOL
    constants: dict[str, NDArray[np.generic]] = {
        "full": np.array(255.0, np.float32),
        "reads": READS.reshape(N_FEATURES, 3, 1, 1),
        "head": np.outer(EVIDENCE, strength).astype(np.float32),
        "bias": (EVIDENCE_BIAS * strength).astype(np.float32),
        "first": np.array([0], np.int64),
        "last": np.array([cells // 2 if is_one_sided else cells], np.int64),
        "across": np.array([3], np.int64),
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
        node("Div", ["real", "full"], ["scaled"]),
        node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        node("AveragePool", ["planes"], ["cells"], kernel_shape=[POOL, POOL], strides=[POOL, POOL]),
        node("Conv", ["cells", "reads"], ["read"]),
        node("Relu", ["read"], ["seen"]),
        node("Slice", ["seen", "first", "last", "across"], ["looked"]),
        node("GlobalAveragePool", ["looked"], ["pooled"]),
        node("Flatten", ["pooled"], ["features"]),
        node("Gemm", ["features", "head", "bias"], ["logits"]),
        node("Transpose", ["seen"], ["seen_last"], perm=[0, 2, 3, 1]),
        node("MatMul", ["seen_last", "head"], ["map"]),
    ]
    shapes: dict[str, list[str | int | None]] = {
        "logits": ["batch", n_classes],
        "features": ["batch", N_FEATURES],
        "map": ["batch", cells, cells, n_classes],
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", dtype, ["batch", side, side, 3])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
            if name != omit
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def tiny_logits(batch: NDArray[np.uint8], n_classes: int = 2) -> NDArray[np.float64]:
    """Work the graph's logits out by hand, for pictures of one colour a cell."""
    scaled = batch.astype(np.float64) / 255.0
    n, side = len(batch), batch.shape[1]
    cells = scaled.reshape(n, side // POOL, POOL, side // POOL, POOL, 3).mean(axis=(2, 4))
    seen = np.maximum(cells @ READS.T.astype(np.float64), 0.0).mean(axis=(1, 2))
    evidence = seen @ EVIDENCE.astype(np.float64) + EVIDENCE_BIAS
    return np.outer(evidence, np.linspace(-1.0, 1.0, n_classes))


def tiny_novelty() -> NoveltyModel:
    """Call a picture new that is much bluer than skin or bone: a mean blueness above 0.3."""
    return NoveltyModel(
        means=np.zeros((1, N_FEATURES), np.float32),
        basis=np.eye(N_FEATURES, dtype=np.float32)[:, 2:3],
        scales=np.array([0.1], np.float32),
        residual_scale=100.0,
        threshold=3.0,
        acceptance=0.99,
    )


def tiny_card(
    *,
    name: str = "tiny",
    version: str = "1",
    classes: Sequence[str] = ("benign", "malignant"),
    modalities: Sequence[Modality] = (Modality.PHOTOGRAPH, Modality.DERMOSCOPY),
    when_named: Sequence[Modality] = (),
    body_parts: Sequence[str] = (),
    min_side_px: int = 16,
    max_frames: int = 4096,
    side: int = 32,
    colour: Colour = Colour.RGB,
    resize: Resize = Resize.CENTRE_CROP,
    pooling: Pooling = Pooling.MEAN_LOGITS,
    temperature: float = 1.0,
) -> dict[str, object]:
    """Give a whole card as JSON holds it, all but the hashes that `write_artifact` fills in.

    The first class is 'nothing found', the last critical, those between urgent.
    """
    interval = {"value": 0.9, "low": 0.8, "high": 0.95, "n": 100}
    severities = ["low", *["urgent"] * (len(classes) - 2), "critical"]
    windows = [{"centre": 40, "width": 80}, {"centre": 80, "width": 200}, {"centre": 600, "width": 2800}]
    return {
        "name": name,
        "version": version,
        "title_en": "Tiny test model",
        "title_zh": "微型测试模型",
        "task": "test",
        "created": datetime(2026, 1, 1, tzinfo=UTC).isoformat(),
        "licence": "Apache-2.0",
        "applies_to": {
            "modalities": [str(modality) for modality in modalities],
            "when_named": [str(modality) for modality in when_named],
            "body_parts": list(body_parts),
            "min_side_px": min_side_px,
            "max_frames": max_frames,
        },
        "classes": [
            {
                "key": key,
                "name_en": key,
                "name_zh": key,
                "code": {"scheme": "SCT", "value": "404684003", "meaning": "Clinical finding"},
                "severity": severity,
                "is_finding": index > 0,
            }
            for index, (key, severity) in enumerate(zip(classes, severities, strict=True))
        ],
        "input": {
            "height": side,
            "width": side,
            "colour": str(colour),
            "resize": str(resize),
            "windows": windows if colour is Colour.WINDOWS else [],
        },
        "pooling": str(pooling),
        "calibration": {
            "temperature": temperature,
            "fitted_on": "nothing: it is made up",
            "n": 100,
            "ece_before": 0.1,
            "ece_after": 0.05,
        },
        "operating_points": [
            {
                "name": "balanced",
                "classes": list(classes[1:]),
                "threshold": 0.5,
                "sensitivity": interval,
                "specificity": interval,
                "chosen_on": "nothing: it is made up",
            }
        ],
        "training_data": [
            {
                "source": "none",
                "licence": "Apache-2.0",
                "role": "train",
                "split": "all",
                "split_sha256": "0" * 64,
                "n_images": 0,
                "n_groups": 0,
            }
        ],
        "metrics": [{"name": "auc", "split": "none", "figure": interval}],
        "intended_use": "Tests alone.",
        "limits": ["It measures colour, not disease."],
        "recipe_sha256": "0" * 64,
    }


def tiny_variants(*, on_cpu: str = "int8", refusals: Sequence[str] = ()) -> dict[str, object]:
    """Give a card's `variants` as JSON holds it, made up; `write_artifact` fills in the hash."""
    figures = {
        "macro_auc": 0.9,
        "auc_positive": 0.9,
        "sensitivity": 0.9,
        "specificity": 0.8,
        "n_bytes": 1000,
    }
    return {
        "float32": figures | {"frame_ms": 2.0},
        "int8": figures | {"frame_ms": 1.0},
        "refusals": list(refusals),
        "on_cpu": on_cpu,
        "measured_on": "nothing: it is made up",
        "timed_on": "nothing",
    }


def write_tiny_artifact(
    folder: Path,
    *,
    name: str = "tiny",
    version: str = "1",
    classes: Sequence[str] = ("benign", "malignant"),
    modalities: Sequence[Modality] = (Modality.PHOTOGRAPH, Modality.DERMOSCOPY),
    when_named: Sequence[Modality] = (),
    body_parts: Sequence[str] = (),
    min_side_px: int = 16,
    max_frames: int = 4096,
    side: int = 32,
    colour: Colour = Colour.RGB,
    resize: Resize = Resize.CENTRE_CROP,
    pooling: Pooling = Pooling.MEAN_LOGITS,
    temperature: float = 1.0,
    with_novelty: bool = False,
    int8: bytes | None = None,
    on_cpu: str = "int8",
) -> Artifact:
    """Write the model to ``folder/name/version``, so that ``Registry([folder])`` finds it.

    `int8` is its variant in integers; any other graph with the same inputs and outputs will do.
    """
    card = tiny_card(
        name=name,
        version=version,
        classes=classes,
        modalities=modalities,
        when_named=when_named,
        body_parts=body_parts,
        min_side_px=min_side_px,
        max_frames=max_frames,
        side=side,
        colour=colour,
        resize=resize,
        pooling=pooling,
        temperature=temperature,
    )
    return write_artifact(
        folder / name / version,
        onnx=tiny_graph(n_classes=len(classes), side=side),
        card=card if int8 is None else card | {"variants": tiny_variants(on_cpu=on_cpu)},
        novelty=tiny_novelty() if with_novelty else None,
        int8=int8,
    )
