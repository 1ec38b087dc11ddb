"""How figures are taken: a thing and its peer in turn, in one run, medians and ratios.

The machines these run on are shared: absolute times drift, ratios of interleaved runs hold. A benchmark
gives :class:`Figure` rows; whether a target is met is printed, never asserted.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured row: what, the figure in its unit, the peer or limit, and the target."""

    what: str
    measured: str
    beside: str
    target: str
    met: bool | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Times of two things run in turn, in seconds."""

    ours_s: tuple[float, ...]
    peer_s: tuple[float, ...]

    @property
    def ours_median_s(self) -> float:
        """The median of ours, in seconds."""
        return statistics.median(self.ours_s)

    @property
    def peer_median_s(self) -> float:
        """The median of the peer's, in seconds."""
        return statistics.median(self.peer_s)

    @property
    def speed_up(self) -> float:
        """Median over the rounds of the peer's time divided by ours: 2.0 means twice as fast."""
        return statistics.median(peer / ours for ours, peer in zip(self.ours_s, self.peer_s, strict=True))


def seconds(work: Callable[[], object]) -> float:
    """Run `work` once and give its wall time, in seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def in_turn(ours: Callable[[], object], peer: Callable[[], object], *, rounds: int = 15) -> Pair:
    """Time both, ours and the peer in turn, after one unmeasured round."""
    ours()
    peer()
    times = [(seconds(ours), seconds(peer)) for _ in range(rounds)]
    return Pair(tuple(ours for ours, _ in times), tuple(peer for _, peer in times))


def table(figures: Sequence[Figure]) -> str:
    """Give the figures as a Markdown table."""
    verdict = {True: "met", False: "**missed**", None: "-"}
    lines = ["| what | measured | beside, in the same run | target | |", "|---|---|---|---|---|"]
    lines += [f"| {f.what} | {f.measured} | {f.beside} | {f.target} | {verdict[f.met]} |" for f in figures]
    return "\n".join(lines)
