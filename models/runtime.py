"""Runs a model; the only home of onnxruntime.

The graph takes ``image``, (batch, height, width, 3) uint8, and gives ``logits``, ``features`` and ``map``.
Normalisation, and the mean over the mirror image where the card says ``flips``, stand in the graph, so
what runs here is what was exported and proven. A session says on which execution provider it runs and is
refused where that is not the one asked for: it never falls back on the CPU unasked. Where a model also has
a variant in 8-bit integers, a CPU runs the one that its card says, and all else the one in floating point.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.artifact import Artifact
from models.card import Precision
from models.errors import ArtifactError, InputError, OutputError, ProviderError

# Official builds report their use to their maker (onnxruntime's Privacy.md) unless told not to before
# they are loaded; nothing here calls out that the operator did not configure.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime import InferenceSession, SessionOptions
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

INPUT = "image"
LOGITS, FEATURES, MAP = "logits", "features", "map"

CPU = "CPUExecutionProvider"

# On a CPU a batch is run in parts of this many pixels. EfficientNet-Lite0 at 192 px, one thread: one by one
# 158 images/s in a process of 136 MB, by 32 in one go 113 images/s and 510 MB, which onnxruntime then keeps.
_CPU_PIXELS = 256 * 256

# onnxruntime's exceptions share no base of their own; a provider may also raise Python's
_ORT_FAILURES: tuple[type[Exception], ...] = (
    *(kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)),
    RuntimeError,
    ValueError,
    OSError,
)


@dataclass(frozen=True, slots=True, eq=False)
class Outputs:
    """What the network says of a batch.

    Attributes
    ----------
    logits : (n, n_classes) float32
        Before temperature and softmax.
    features : (n, n_features) float32
        The vector the last layer sees; novelty measures it.
    maps : (n, map_height, map_width, n_classes) float32
        Class activation maps: the mean of one over its places, plus the class's bias, is the logit.
    """

    logits: NDArray[np.float32]
    features: NDArray[np.float32]
    maps: NDArray[np.float32]


def available_providers() -> tuple[str, ...]:
    """Name the execution providers of this installation, the quickest first."""
    return tuple(onnxruntime.get_available_providers())


class Session:
    """A loaded model, ready to run; safe to share between threads.

    Parameters
    ----------
    artifact : Artifact
        A checked model.
    providers : sequence of str
        Execution providers in order of preference. A node that none of them takes makes the session
        fail; name the CPU's last to allow it.
    threads : int
        For one run. One session a core beats one session on all cores.
    precision : Precision or None
        The variant to run; None takes the one that the card chose for a CPU where the CPU's provider is the
        first, else the one in floating point.

    Raises
    ------
    ProviderError
        If a provider is missing or onnxruntime would use another in its place.
    ArtifactError
        If there is no such variant, its file changed meanwhile, the graph cannot be loaded, or its inputs
        and outputs are not what the card says.
    """

    def __init__(
        self,
        artifact: Artifact,
        *,
        providers: Sequence[str] = (CPU,),
        threads: int = 1,
        precision: Precision | None = None,
    ) -> None:
        self.artifact = artifact
        _check_available(providers)
        if precision is None:
            precision = artifact.cpu_precision if providers[0] == CPU else Precision.FLOAT
        self.precision = precision
        """The variant that runs."""
        path, self.sha256 = artifact.variant(precision)
        """Of the file that runs."""
        self._file = path.name
        try:
            # from memory, so that the graph cannot draw in files that no hash covers
            self._session = InferenceSession(
                artifact.read_variant(precision),
                _options(providers, threads),
                providers=list(providers),
                enable_fallback=0,
            )
        except _ORT_FAILURES as error:
            raise self._refusal(f"cannot be loaded: {error}") from error
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())
        """The execution providers that are active, as onnxruntime reports them."""
        if self.providers[: len(providers)] != tuple(providers):
            raise ProviderError(providers, self.providers, "were replaced by onnxruntime")
        self._check_signature()
        self._check_outputs()

    def run(self, batch: NDArray[np.uint8]) -> Outputs:
        """Run the network.

        Parameters
        ----------
        batch : (n, height, width, 3) uint8
            Results of :func:`models.preprocess.to_input`; n is at least 1.

        Raises
        ------
        InputError
            If the batch is of another shape or type.
        OutputError
            If the runtime fails or a logit is not a finite number.
        """
        spec = self.artifact.card.input
        if batch.dtype != np.uint8 or batch.shape[1:] != (spec.height, spec.width, 3) or not len(batch):
            raise InputError(
                f"{self.artifact.label} takes (n, {spec.height}, {spec.width}, 3) uint8, not "
                f"{batch.shape} {batch.dtype}"
            )
        step = len(batch)
        if self.providers[0] == CPU:
            step = max(1, _CPU_PIXELS // (spec.height * spec.width))
        try:
            parts = [
                self._session.run([LOGITS, FEATURES, MAP], {INPUT: batch[start : start + step]})
                for start in range(0, len(batch), step)
            ]
        except _ORT_FAILURES as error:
            raise OutputError(f"{self.artifact.label} failed on a batch of {len(batch)}: {error}") from error
        logits, features, maps = (np.concatenate(part) for part in zip(*parts, strict=True))
        if not np.isfinite(logits).all():
            raise OutputError(f"{self.artifact.label} gave a logit that is not a finite number")
        return Outputs(logits=logits, features=features, maps=maps)

    def _check_signature(self) -> None:
        spec, n_classes = self.artifact.card.input, len(self.artifact.card.classes)
        found = {node.name: (node.type, node.shape) for node in self._session.get_inputs()}
        if list(found) != [INPUT]:
            raise self._refusal(f"takes {', '.join(found) or 'nothing'}, expected '{INPUT}' alone")
        kind, shape = found[INPUT]
        if kind != "tensor(uint8)" or shape[1:] != [spec.height, spec.width, 3] or isinstance(shape[0], int):
            raise self._refusal(
                f"takes {kind} {shape}, expected tensor(uint8) ['batch', {spec.height}, {spec.width}, 3]"
            )
        outputs = {node.name: (node.type, node.shape) for node in self._session.get_outputs()}
        for name, n_axes, last in ((LOGITS, 2, n_classes), (FEATURES, 2, None), (MAP, 4, n_classes)):
            if name not in outputs:
                raise self._refusal(f"gives {', '.join(outputs)}, but no '{name}'")
            kind, shape = outputs[name]
            wrong_last = last is not None and isinstance(shape[-1], int) and shape[-1] != last
            if kind != "tensor(float)" or len(shape) != n_axes or wrong_last:
                raise self._refusal(
                    f"gives '{name}' as {kind} {shape}, expected {n_axes} axes of tensor(float)"
                    + ("" if last is None else f", the last {last}")
                )

    def _check_outputs(self) -> None:
        """Run a picture and its mirror image: what the graph declares may differ from what it gives."""
        card = self.artifact.card
        shape = (1, card.input.height, card.input.width, 3)
        picture = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        try:
            outputs = self.run(picture)
            mirrored = self.run(np.ascontiguousarray(picture[:, :, ::-1]))
        except OutputError as error:
            raise self._refusal(f"does not run: {error}") from error
        n_classes = len(card.classes)
        shapes = (outputs.logits.shape, outputs.features.shape[:1], outputs.maps.shape[::3])
        if shapes != ((1, n_classes), (1,), (1, n_classes)) or outputs.features.ndim != 2:
            raise self._refusal(
                f"gives logits {outputs.logits.shape}, features {outputs.features.shape} and map "
                f"{outputs.maps.shape} for one picture, expected (1, {n_classes}), (1, n) and "
                f"(1, h, w, {n_classes})"
            )
        if card.input.flips and not np.allclose(outputs.logits, mirrored.logits, atol=1e-3):
            raise self._refusal("scores a picture and its mirror image apart, although the card says flips")
        novelty = self.artifact.novelty
        if novelty is not None and novelty.means.shape[1] != outputs.features.shape[1]:
            raise self._refusal(
                f"gives {outputs.features.shape[1]} features, but novelty.npz was fitted on "
                f"{novelty.means.shape[1]}"
            )

    def _refusal(self, problem: str) -> ArtifactError:
        return ArtifactError(self.artifact.folder, self._file, problem, "export the model again")


def _options(providers: Sequence[str], threads: int) -> SessionOptions:
    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings go to stderr unasked
    # an idle thread that spins takes the core from the decoder next to it
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if CPU not in providers:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _check_available(providers: Sequence[str]) -> None:
    available = available_providers()
    missing = [name for name in providers if name not in available]
    if missing or not providers:
        raise ProviderError(providers, available, f"lack {', '.join(missing)}" if missing else "are none")
