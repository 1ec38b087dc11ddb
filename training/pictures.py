"""The curves of a run as small pictures, drawn from its files."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.calibration import ReliabilityCurve
from models.card import OperatingPoint
from models.measures import Floats

SIZE_INCHES = (4.8, 3.8)
DOTS_PER_INCH = 110


def draw(path: Path, paint: Callable[[Axes], None]) -> None:
    """Write one picture; `paint` draws on its axes."""
    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    paint(figure.add_subplot())
    figure.savefig(path, metadata={"Software": None})


def learning_curve(history: Sequence[Mapping[str, Any]]) -> Callable[[Axes], None]:
    """Show the validation figures and the training loss of each epoch."""
    epochs = [line["epoch"] for line in history]

    def paint(axes: Axes) -> None:
        for name, label in (("balanced_accuracy", "balanced accuracy"), ("macro_auc", "macro AUC")):
            if name in history[0]:  # a run without validation folds has none
                axes.plot(epochs, [line[name] for line in history], marker="o", label=f"validation {label}")
        axes.set(xlabel="epoch", ylabel="validation figure", ylim=(0.0, 1.0), xticks=epochs)
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        loss_axes = axes.twinx()
        loss_axes.plot(epochs, [line["loss"] for line in history], color="grey", linestyle="--")
        loss_axes.set(ylabel="training loss (dashed)", ylim=(0.0, None))
        axes.text(epochs[0] - 0.2, 0.02, f"{history[0]['px']} px", fontsize="small")
        for before, after in pairwise(history):
            if before["px"] != after["px"]:
                axes.axvline(after["epoch"] - 0.5, color="lightgrey")
                axes.text(after["epoch"] - 0.4, 0.02, f"{after['px']} px", fontsize="small")
        if axes.get_lines():
            axes.legend(loc="lower left", bbox_to_anchor=(0.0, 0.08), fontsize="small")

    return paint


def roc(
    false_rate: Floats, true_rate: Floats, area: float, points: Sequence[OperatingPoint]
) -> Callable[[Axes], None]:
    """Show the ROC curve of the positive classes with the operating points on it."""

    def paint(axes: Axes) -> None:
        axes.plot(false_rate, true_rate, label=f"test folds, AUC {area:.3f}")
        axes.plot([0, 1], [0, 1], color="lightgrey", linestyle=":")
        for point in points:
            x, y = 1.0 - point.specificity.value, point.sensitivity.value
            axes.plot(x, y, marker="o", linestyle="", label=point.name)
        axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(0, 1), ylim=(0, 1.01), aspect="equal")
        axes.legend(loc="lower right", fontsize="small")

    return paint


def reliability(before: ReliabilityCurve, after: ReliabilityCurve) -> Callable[[Axes], None]:
    """Show how often the first class is right against how sure the model is, raw and calibrated."""

    def paint(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color="lightgrey", linestyle=":")
        for curve, label in ((before, "raw"), (after, "calibrated")):
            axes.plot(curve.predicted, curve.observed, marker="o", label=f"{label}, error {curve.error:.3f}")
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.legend(loc="upper left", fontsize="small")

    return paint


def confusion(counts: NDArray[np.int64], keys: Sequence[str]) -> Callable[[Axes], None]:
    """Show the confusion matrix: shade is the part of the row, the number is the count."""
    parts = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def paint(axes: Axes) -> None:
        axes.imshow(parts, cmap="Blues", vmin=0.0, vmax=1.0)
        for (row, column), count in np.ndenumerate(counts):
            colour = "white" if parts[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=colour, fontsize="small")
        places = range(len(keys))
        axes.set_xticks(places, keys, fontsize="small")
        axes.set_yticks(places, keys, fontsize="small")
        axes.set(xlabel="predicted", ylabel="truth")

    return paint
