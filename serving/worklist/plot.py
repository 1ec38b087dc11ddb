"""A picture of what each policy does to each class of patient."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
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
# The three stand one below the other in a policy's row, so that equal means hide nothing.
_OFFSETS = {"diseased": -0.26, "missed": 0.0, "healthy": 0.26}
# Nought has no place on a logarithmic axis.
_LEAST_MINUTES = 0.01
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
    for name, (label, colour, marker) in _CLASSES.items():
        means = [getattr(waits, name) for waits in waits_of_policy.values()]
        rows = [row + _OFFSETS[name] for row, mean in enumerate(means) if mean is not None]
        present = [max(_LEAST_MINUTES, mean) for mean in means if mean is not None]
        if not present:
            continue
        axes.scatter(present, rows, s=34, color=colour, marker=marker, label=label, zorder=3)
        for mean, row in zip(present, rows, strict=True):
            _write_beside(axes, mean, row, colour)
    longest = [max(_LEAST_MINUTES, waits.longest) for waits in waits_of_policy.values()]
    axes.scatter(longest, range(len(policies)), s=130, color=_GREY, marker="|", linewidth=2, label="longest")
    for row, wait in enumerate(longest):
        _write_beside(axes, wait, row, _GREY)
    axes.axhspan(policies.index(chosen) - 0.45, policies.index(chosen) + 0.45, color="#f0e442", alpha=0.22)
    axes.set_yticks(range(len(policies)), [str(policy) for policy in policies])
    axes.set_ylim(len(policies) - 0.5, -0.5)
    axes.set_xscale("log")
    axes.margins(x=0.16)
    axes.set_title("Mean wait of each class, and the longest wait", fontsize=11, loc="left")
    axes.grid(axis="x", color="#ececec")
    _tidy(axes)
    axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.16), ncols=4, fontsize=8.5, frameon=False)


def _write_beside(axes: Axes, minutes: float, row: float, colour: str) -> None:
    text = f"{minutes:.2g}" if minutes < 1 else f"{minutes:.1f}" if minutes < 100 else f"{minutes:,.0f}"
    axes.annotate(
        text, (minutes, row), xytext=(7, 0), textcoords="offset points", va="center", color=colour, fontsize=8
    )


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
    axes.set_title(f"Share still waiting, under {chosen}", fontsize=11, loc="left")
    axes.grid(color="#ececec")
    _tidy(axes)
    axes.legend(loc="lower left", fontsize=8.5, frameon=False)


def _shares_still_waiting(
    waited_minutes: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give 200 times in minutes and the share of studies that wait longer than each.

    A share of fewer than ten studies is not a number: it would be the luck of the seed.
    """
    ordered = np.sort(waited_minutes)
    minutes = np.geomspace(1.0, max(2.0, ordered[-1]), 200)
    n_longer = len(ordered) - np.searchsorted(ordered, minutes, side="right")
    return minutes, np.where(n_longer >= 10, n_longer / len(ordered), np.nan)


def _tidy(axes: Axes) -> None:
    axes.set_xlabel("minutes (log scale)")
    least, most = axes.get_xlim()
    # Labels at 1, 2, 5 run into each other on more than three decades.
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if most < 1000 * least else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda minutes, _: f"{minutes:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(axis="x", labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)


def _describe(setting: Setting) -> str:
    score = "no graded score" if setting.auc is None else f"AUC {setting.auc:g}"
    return (
        f"{setting.n_readers} reader{'s' * (setting.n_readers > 1)} at load {setting.load:g}, "
        f"{setting.read_minutes:g} min a study, prevalence {setting.prevalence:g}, {score}, "
        f"flag at sensitivity {setting.sensitivity:g} and specificity {setting.flag_specificity:.3g}"
    )
