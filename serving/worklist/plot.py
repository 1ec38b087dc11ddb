"""A picture of what each policy does to each class of patient."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from serving.worklist.queueing import QueuePolicy, Setting
from serving.worklist.simulator import SimulatedRun, SimulatedWaits, summarise

SUFFIXES = (".png", ".svg", ".pdf")

# Okabe and Ito's palette: told apart with every common colour blindness, and by shape as well.
_CLASSES = {
    "diseased": ("diseased", "#d55e00", "o"),
    "missed": ("diseased, below the flag", "#cc79a7", "D"),
    "healthy": ("healthy", "#0072b2", "s"),
}
_GREY = "#6b6b6b"


def draw_waits(
    setting: Setting, chosen: QueuePolicy, runs_of_policy: Mapping[QueuePolicy, Sequence[SimulatedRun]]
) -> Figure:
    """Draw the mean waits under every policy, and how the chosen one spreads the waits of each class.

    `runs_of_policy` holds the runs of `chosen` and of first in, first out at least.
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    means, spread = figure.subplots(1, 2, width_ratios=(1.15, 1))
    _draw_means(means, chosen, {policy: summarise(runs) for policy, runs in runs_of_policy.items()})
    _draw_spread(spread, chosen, runs_of_policy[chosen], runs_of_policy[QueuePolicy.FIFO])
    figure.suptitle(_describe(setting), fontsize=10, color=_GREY)
    return figure


def _draw_means(
    axes: Axes, chosen: QueuePolicy, waits_of_policy: Mapping[QueuePolicy, SimulatedWaits]
) -> None:
    policies = list(waits_of_policy)
    for row, waits in enumerate(waits_of_policy.values()):
        present = [mean for name in _CLASSES if (mean := getattr(waits, name)) is not None]
        axes.plot([min(present), max(present)], [row, row], color="#d0d0d0", linewidth=3, zorder=1)
        if waits.longest is not None:
            axes.plot(waits.longest, row, marker="|", color=_GREY, markersize=14, markeredgewidth=2)
    for name, (label, colour, marker) in _CLASSES.items():
        means = [getattr(waits, name) for waits in waits_of_policy.values()]
        rows = [row for row, mean in enumerate(means) if mean is not None]
        present = [mean for mean in means if mean is not None]
        axes.scatter(present, rows, s=52, color=colour, marker=marker, label=label, zorder=3)
    axes.plot([], [], "|", color=_GREY, markersize=10, markeredgewidth=2, label="longest")
    axes.axhspan(policies.index(chosen) - 0.4, policies.index(chosen) + 0.4, color="#f0e442", alpha=0.25)
    axes.set_yticks(range(len(policies)), [str(policy) for policy in policies])
    axes.set_ylim(len(policies) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.set_title("Mean wait of each class under every policy", fontsize=11)
    axes.grid(axis="x", color="#ececec")
    _tidy(axes, "minutes (log scale)")
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.16), ncols=4, fontsize=8.5, frameon=False)


def _draw_spread(
    axes: Axes, chosen: QueuePolicy, runs: Sequence[SimulatedRun], fifo_runs: Sequence[SimulatedRun]
) -> None:
    waited = np.concatenate([run.waited_minutes for run in runs])
    diseased = np.concatenate([run.is_diseased for run in runs])
    flagged = np.concatenate([run.is_flagged for run in runs])
    waits_of_class = {"diseased": waited[diseased], "missed": waited[diseased & ~flagged]}
    waits_of_class["healthy"] = waited[~diseased]
    for name, waits in waits_of_class.items():
        label, colour, _ = _CLASSES[name]
        if waits.size:
            axes.plot(*_shares_still_waiting(waits), color=colour, linewidth=2, label=label)
    if chosen is not QueuePolicy.FIFO:
        everyone = np.concatenate([run.waited_minutes for run in fifo_runs])
        minutes, shares = _shares_still_waiting(everyone)
        axes.plot(minutes, shares, color=_GREY, linestyle="--", linewidth=1.5, label="everyone under fifo")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left=1.0)
    axes.set_ylim(1e-4, 1.0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share * 100:g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(f"Share that waits longer than ..., under {chosen}", fontsize=11)
    axes.grid(color="#ececec")
    _tidy(axes, "minutes (log scale)")
    axes.legend(loc="lower left", fontsize=8.5, frameon=False)


def _shares_still_waiting(
    waited_minutes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give 200 times in minutes and the share of studies that wait longer than each."""
    ordered = np.sort(waited_minutes)
    minutes = np.geomspace(1.0, max(2.0, ordered[-1]), 200)
    return minutes, 1 - np.searchsorted(ordered, minutes, side="right") / len(ordered)


def _tidy(axes: Axes, xlabel: str) -> None:
    axes.set_xlabel(xlabel)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda minutes, _: f"{minutes:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def _describe(setting: Setting) -> str:
    score = "no graded score" if setting.auc is None else f"AUC {setting.auc:g}"
    return (
        f"{setting.n_readers} reader{'s' * (setting.n_readers > 1)} at load {setting.load:g}, "
        f"{setting.read_minutes:g} min a study, prevalence {setting.prevalence:g}, {score}, "
        f"flag at sensitivity {setting.sensitivity:g} and specificity {setting.flag_specificity:.3g}"
    )
