"""Who of several workers is dead: told by beats that do not move, over rounds that the watcher itself lives.

No clocks are compared, for those of two machines differ and any may be set back. And a round counts only if
the watcher made it: one that was itself stopped for a minute has seen nothing for that minute, and takes
nobody for dead.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

SECONDS_A_ROUND = 2.0

# 16 s without a beat: longer than a slow commit or a short fail-over, and with what follows well below 30 s.
ROUNDS_TO_DEATH = 8


@dataclass
class Liveness:
    """Watches beats, round by round."""

    rounds_to_death: int = ROUNDS_TO_DEATH
    _beats: dict[str, int] = field(default_factory=dict)
    _still: dict[str, int] = field(default_factory=dict)

    def observe(self, beats: Mapping[str, int]) -> set[str]:
        """Look at the beat of every worker that should live, and give those that do not.

        Examples
        --------
        >>> watch = Liveness(rounds_to_death=2)
        >>> watch.observe({"a": 5, "b": 7}), watch.observe({"a": 5, "b": 8}), watch.observe({"a": 5, "b": 8})
        (set(), set(), {'a'})
        """
        for worker, beat in beats.items():
            is_still = self._beats.get(worker) == beat
            self._still[worker] = self._still.get(worker, 0) + 1 if is_still else 0
        self._beats = dict(beats)
        self._still = {worker: n for worker, n in self._still.items() if worker in beats}
        return {worker for worker, n_rounds in self._still.items() if n_rounds >= self.rounds_to_death}
