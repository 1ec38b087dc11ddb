"""What a hospital settles about reading: leases, load, second reads, whose studies others read."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReadingTerms:
    """The terms of reading.

    Parameters
    ----------
    lease_s : float, s
        For how long a claim keeps others off, unless it is renewed; every save renews it.
    most_claims : int
        So many studies may one reader hold at a time.
    second_tiers : frozenset of str
        Tiers whose studies two read without seeing each other's, a third if they disagree.
    read_elsewhere : frozenset of str
        Sites whose studies are read by those of other sites alone; ``*`` stands for every site.
    proof_s : float or None, s
        Whoever signs must have given password or code within this time; None: the session is enough.
    """

    lease_s: float = 15 * 60.0
    most_claims: int = 5
    second_tiers: frozenset[str] = frozenset()
    read_elsewhere: frozenset[str] = frozenset()
    proof_s: float | None = None

    def is_kept_from(self, home_site: str | None, site: str) -> bool:
        """Whether those of a home site may not read the studies of a site.

        Examples
        --------
        >>> terms = ReadingTerms(read_elsewhere=frozenset({"north"}))
        >>> terms.is_kept_from("north", "north"), terms.is_kept_from("south", "north")
        (True, False)
        """
        return home_site == site and bool(self.read_elsewhere & {site, "*"})
