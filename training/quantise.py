"""Makes a network's variant in 8-bit integers, measures it beside the one in floating point, and decides.

Quantisation is static: each channel of a convolution's weights, and each tensor between convolutions, gets
one scale, the latter from the range that it takes on pictures of training. Weights use 7 of their 8 bits:
without VNNI an x86 processor adds products of 8 bits in 16 and cuts off what does not fit, so a network with
whole 8 bits would score otherwise there than where it was accepted. What decides in few numbers stays in
floating point: all up to the first convolution (the normalisation and, for CT, the windows), and all behind
the last one (mean, head and map).

The variant is accepted if held-out pictures are told apart as well as before, by stated limits; a CPU then
runs the faster of the two.

Notes
-----
Ranges are those from the least to the greatest value seen. Measured on ``derm-lesion/1`` (EfficientNet-Lite0
at 192 px, 1002 pictures of the validation fold, 256 of training for the ranges, the first convolution in
integers too): entropy gave the very same figures, percentiles of 99.99 AUCs within .001 of them; both took 6
times as long, and memory for every tensor of every picture.
"""

import hashlib
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
from numpy.typing import NDArray

from models import novelty as novelties
from models.aims import point_in_use
from models.artifact import Artifact, write_artifact
from models.calibration import score_of
from models.card import ModelCard, Precision, VariantFigures, Variants
from models.measures import auc, macro_auc
from models.runtime import FEATURES, INPUT, Outputs, Session
from models.scaling import Scaling
from training.dataset import LabelledSet, Pixels, batches
from training.errors import ExportError
from training.graph import CONVOLUTION, behind_convolutions, forget_where_it_was_made, name_nodes
from training.predictions import ScoredSet
from training.recipe import Recipe
from training.units import Fit, Judged, judge_units

# as in models.runtime, should this be loaded first
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

# What the integers may cost at most, on the held-out pictures.
MAX_AUC_FALL = 0.003
MAX_SENSITIVITY_FALL = 0.005
MAX_ACCEPTANCE_FALL = 0.01
MAX_BYTES = 20_000_000

N_RANGE_IMAGES = 256
MAX_FITTED_IMAGES = 2000
BATCH_SIZE = 8
N_ROUNDS = 61

LIMITS = (
    f"Integers are refused where an AUC falls by more than {MAX_AUC_FALL}, sensitivity at the operating "
    f"point in use by more than {MAX_SENSITIVITY_FALL}, or the part accepted as not new by more than "
    f"{MAX_ACCEPTANCE_FALL}."
)

# What stands between convolutions: where one of these stayed in floating point, its tensors would be
# converted back and forth.
_QUANTISED = (CONVOLUTION, "Add", "Mul", "Concat", "Clip", "Relu", "MaxPool", "AveragePool")


@dataclass(frozen=True, eq=False)
class Pictures:
    """The pictures that a variant is made from and measured on.

    Attributes
    ----------
    of_training : (n, height, width, 3) uint8
        For the ranges.
    pixels : (n_all, height, width, 3) uint8
        May be mapped from a file.
    rows : (n_held_out,) intp
        The held-out pictures among `pixels`.
    labels : (n_held_out,) int64
        Index of the true class.
    held_out : str
        The held-out pictures, as the card calls them.
    judge : callable
        Takes the logits of the held-out pictures and the card, and gives what is said of each image or study:
        what the operating point is for.
    """

    of_training: Pixels
    pixels: Pixels
    rows: NDArray[np.intp]
    labels: NDArray[np.int64]
    held_out: str
    judge: Callable[[NDArray[np.float32], ModelCard], Judged]


@dataclass(frozen=True, eq=False)
class _Given:
    """What one variant gives for the held-out pictures: (n, n_classes) logits, (n,) novelty scores if any."""

    logits: NDArray[np.float32]
    novelty: NDArray[np.float64] | None


def pictures_of(recipe: Recipe, labelled: LabelledSet, pixels: Pixels) -> Pictures:
    """Take the ranges from the training folds and the figures from the validation folds.

    The network of a crossed recipe is fitted on all folds; there both are taken from all, and said so.
    """
    training, rows = (labelled.rows_in(folds) for folds in (recipe.folds.train, recipe.folds.validation))
    held_out = recipe.folds.text_of(recipe.folds.validation) if len(rows) else "all folds, fitted on"
    if not len(rows):
        training = np.arange(len(labelled.images))
        rows = _spread(training, MAX_FITTED_IMAGES)
    labels = labelled.labels[rows]
    images = [labelled.images[row] for row in rows]
    names = np.array(labelled.names)[rows]

    def judge(logits: NDArray[np.float32], card: ModelCard) -> Judged:
        scored = ScoredSet(
            logits=logits,
            features=np.empty((len(logits), 0), np.float32),
            labels=labels,
            groups=np.array([image.group for image in images]),
            names=names,
            studies=np.array([image.study or name for image, name in zip(images, names, strict=True)]),
            positions=np.array([image.position for image in images], np.int64),
        )
        return judge_units(recipe, scored, Fit(Scaling.of(card.calibration), card.pooling_parameters))

    of_training = np.array(pixels[_spread(training, N_RANGE_IMAGES)])
    return Pictures(of_training, pixels, rows, labels, held_out, judge)


def _spread(rows: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """Take about evenly spread rows, at most `n`."""
    return rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(np.intp)]


def quantise(staged: Artifact, pictures: Pictures) -> tuple[bytes | None, Variants]:
    """Make the variant in 8-bit integers and measure both.

    Parameters
    ----------
    staged : Artifact
        The model in floating point.
    pictures : Pictures

    Returns
    -------
    bytes or None
        The network, for `write_artifact`; None where it was refused.
    Variants
        For the card.

    Raises
    ------
    ExportError
        If the network has nothing to quantise, or the held-out pictures are all of one kind.
    """
    network = to_int8(staged.read_variant(Precision.FLOAT), pictures.of_training)
    card = staged.card
    with tempfile.TemporaryDirectory() as folder:
        twin = write_artifact(Path(folder) / card.version, onnx=network, card=card, novelty=staged.novelty)
        both = Session(staged, precision=Precision.FLOAT), Session(twin, precision=Precision.FLOAT)
    *given, correlation = _run_both(*both, pictures)
    times_ms = _frame_ms(*both, pictures.pixels[pictures.rows[:1]])
    sizes = staged.onnx_path.stat().st_size, len(network)
    float32, int8 = (
        _figures(card, one, pictures, frame_ms=time_ms, n_bytes=size)
        for one, time_ms, size in zip(given, times_ms, sizes, strict=True)
    )
    refusals = reasons_against(float32, int8)
    is_faster = not refusals and int8.frame_ms < float32.frame_ms
    variants = Variants(
        float32=float32,
        int8=int8,
        int8_sha256=None if refusals else hashlib.sha256(network).hexdigest(),
        refusals=refusals,
        on_cpu=Precision.INT8 if is_faster else Precision.FLOAT,
        map_correlation=correlation,
        measured_on=(
            f"{staged.label} on {len(pictures.rows)} pictures of {pictures.held_out}, operating point "
            f"{card.default_operating_point}; ranges from {len(pictures.of_training)} pictures of training"
        ),
        timed_on=f"{platform.machine()}, one thread, one picture, median of {N_ROUNDS} in turn",
    )
    return None if refusals else network, variants


def to_int8(network: bytes, of_training: Pixels) -> bytes:
    """Quantise a network.

    Parameters
    ----------
    network : bytes
        An ONNX file whose input is called ``image``.
    of_training : (n, height, width, 3) uint8
        Pictures whose tensors' ranges are taken.

    Raises
    ------
    ExportError
        If no convolution stands behind another on the way to the features.
    """
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared, quantised = (Path(folder) / f"{name}.onnx" for name in ("plain", "prepared", "int8"))
        plain.write_bytes(network)
        # folds what can be folded and writes down the tensors' shapes; with static shapes ONNX's own
        # inference finds them all
        quant_pre_process(plain, prepared, skip_symbolic_shape=True)
        model = onnx.load(prepared)
        name_nodes(model.graph)
        chosen = _chosen(model)
        onnx.save(model, prepared)
        quantize_static(
            prepared,
            quantised,
            _Reader(of_training),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_QUANTISED),
            nodes_to_quantize=chosen,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        model = onnx.load(quantised)
    forget_where_it_was_made(model)
    return bytes(model.SerializeToString())


def _chosen(model: onnx.ModelProto) -> list[str]:
    behind = set(behind_convolutions(model.graph, leading_to=FEATURES))
    nodes = [node for node in model.graph.node if node.name in behind and node.op_type in _QUANTISED]
    if not any(node.op_type == CONVOLUTION for node in nodes):
        raise ExportError(
            "the network has no convolution behind its first, so there is nothing to quantise; export it "
            "with --no-int8"
        )
    return [node.name for node in nodes]


class _Reader(CalibrationDataReader):  # type: ignore[misc] # onnxruntime ships no annotations
    """Hands pictures to onnxruntime, a batch at a time."""

    def __init__(self, pixels: Pixels) -> None:
        self._batches: Iterator[Pixels] = (
            np.array(pixels[start : start + BATCH_SIZE]) for start in range(0, len(pixels), BATCH_SIZE)
        )

    def get_next(self) -> dict[str, Pixels] | None:
        """Give the next batch; None after the last."""
        batch = next(self._batches, None)
        return None if batch is None else {INPUT: batch}


def _run_both(plain: Session, small: Session, pictures: Pictures) -> tuple[_Given, _Given, float | None]:
    """Score the held-out pictures with both; correlate their maps of the likeliest class."""
    outputs: list[tuple[_Given, _Given]] = []
    correlations: list[float] = []
    for batch in batches(pictures.rows, BATCH_SIZE):
        pixels = np.array(pictures.pixels[batch])
        pair = plain.run(pixels), small.run(pixels)
        outputs.append((_judged(pair[0], pixels, plain), _judged(pair[1], pixels, small)))
        for place, leading in enumerate(pair[0].logits.argmax(axis=1)):
            ours, theirs = (one.maps[place, ..., leading].ravel() for one in pair)
            if ours.std() > 0 and theirs.std() > 0:
                correlations.append(float(np.corrcoef(ours, theirs)[0, 1]))
    floats, integers = (_joined(each) for each in zip(*outputs, strict=True))
    return floats, integers, statistics.median(correlations) if correlations else None


def _judged(outputs: Outputs, pixels: Pixels, session: Session) -> _Given:
    known = session.artifact.novelty
    scores = None if known is None else novelties.judge(outputs.features, pixels, known).scores
    return _Given(outputs.logits, scores)


def _joined(parts: Sequence[_Given]) -> _Given:
    scores = [part.novelty for part in parts if part.novelty is not None]
    return _Given(np.concatenate([part.logits for part in parts]), np.concatenate(scores) if scores else None)


def _frame_ms(plain: Session, small: Session, picture: Pixels) -> tuple[float, float]:
    """Time both in turn on one picture (1, height, width, 3); give the medians in ms."""
    return in_turn(lambda: plain.run(picture), lambda: small.run(picture))


def in_turn(first: Callable[[], object], second: Callable[[], object]) -> tuple[float, float]:
    """Run two things in turn, so that whatever else the machine does slows both; give the medians in ms."""
    times_ms: tuple[list[float], list[float]] = ([], [])
    for round_ in range(-3, N_ROUNDS):
        for work, times in zip((first, second), times_ms, strict=True):
            start = perf_counter()
            work()
            if round_ >= 0:  # the first rounds warm the caches
                times.append((perf_counter() - start) * 1000)
    return statistics.median(times_ms[0]), statistics.median(times_ms[1])


def _figures(
    card: ModelCard, given: _Given, pictures: Pictures, *, frame_ms: float, n_bytes: int
) -> VariantFigures:
    """Measure what a variant gave: areas on pictures, the operating point in use on what it is for.

    Areas of a dozen studies would move in steps larger than the limit.
    """
    point = point_in_use(card)
    places = [card.class_keys.index(key) for key in point.classes]
    probabilities = Scaling.of(card.calibration).probabilities(given.logits)
    judged = pictures.judge(given.logits, card)
    is_positive = np.isin(judged.labels, places)
    if is_positive.all() or not is_positive.any():
        raise ExportError(
            f"the {len(pictures.rows)} held-out pictures are all of one kind, so int8 cannot be measured on "
            "them; export with --no-int8"
        )
    is_called = score_of(judged.probabilities, places) >= point.threshold
    return VariantFigures(
        macro_auc=macro_auc(pictures.labels, probabilities),
        auc_positive=auc(np.isin(pictures.labels, places), score_of(probabilities, places)),
        sensitivity=float(is_called[is_positive].mean()),
        specificity=float((~is_called)[~is_positive].mean()),
        novelty_acceptance=None if given.novelty is None else float(np.mean(given.novelty <= 1.0)),
        frame_ms=frame_ms,
        n_bytes=n_bytes,
    )


def reasons_against(float32: VariantFigures, int8: VariantFigures) -> tuple[str, ...]:
    """Say in a clause each why the variant in integers may not be used; none where it may."""
    pairs = [
        ("macro AUC", float32.macro_auc, int8.macro_auc, MAX_AUC_FALL),
        ("AUC of the dangerous classes", float32.auc_positive, int8.auc_positive, MAX_AUC_FALL),
        ("sensitivity", float32.sensitivity, int8.sensitivity, MAX_SENSITIVITY_FALL),
    ]
    if float32.novelty_acceptance is not None and int8.novelty_acceptance is not None:
        acceptances = float32.novelty_acceptance, int8.novelty_acceptance
        pairs.append(("acceptance as not new", *acceptances, MAX_ACCEPTANCE_FALL))
    reasons = [
        f"{name} falls from {before:.4f} to {after:.4f}, at most {limit} is allowed"
        for name, before, after, limit in pairs
        if before - after > limit + 1e-9  # a fall of just the limit is allowed, however it is rounded
    ]
    if int8.n_bytes > MAX_BYTES:
        reasons.append(f"its file has {int8.n_bytes:,} bytes, at most {MAX_BYTES:,} are allowed")
    return tuple(reasons)


def verdict(variants: Variants) -> str:
    """Say in a sentence what was decided of the variant in integers."""
    if variants.refusals:
        return f"Eight-bit integers were refused: {'; '.join(variants.refusals)}"
    before, after = variants.float32.frame_ms, variants.int8.frame_ms
    used = "8-bit integers" if variants.on_cpu is Precision.INT8 else "floating point"
    return (
        f"Eight-bit integers were accepted; a CPU runs {used} ({after:.1f} ms a picture in integers, "
        f"{before:.1f} ms in floating point)"
    )
