"""How slowly a sender may send: one that trickles must not hold a place for ever."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """The slowest that an upload may come.

    Parameters
    ----------
    start_s : float, s
        What every sender has, whatever came so far; so a line may also be dead for this long.
    min_bytes_per_s : float, byte/s
        Each byte that came gives that much more time. A modem of 56 kbit/s has 7,000.
    max_s : float, s
        The whole upload may not take longer.
    """

    start_s: float = 60.0
    min_bytes_per_s: float = 1024.0
    max_s: float = 6 * 3600.0

    def seconds_left(self, n_bytes: int, elapsed_s: float) -> float:
        """Give how long the next bytes may take, in seconds; none if it is below zero.

        Examples
        --------
        >>> Pace(start_s=60, min_bytes_per_s=1024).seconds_left(10_240, elapsed_s=50)
        20.0
        >>> Pace(max_s=100.0).seconds_left(10**9, elapsed_s=99)
        1.0
        """
        return min(self.max_s, self.start_s + n_bytes / self.min_bytes_per_s) - elapsed_s
