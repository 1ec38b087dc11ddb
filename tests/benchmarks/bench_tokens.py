"""What asking by a token costs a request: the hash, one row, who it is; beside a bare read of a row."""

import tempfile
import time
from pathlib import Path

from fastapi import Request

from serving.audit.opening import open_trail
from serving.identity.bearer import BearerTokens
from serving.identity.caller import EVERY_SITE, TokenScope
from serving.identity.guesses import Guesses
from serving.identity.tokens import Tokens
from serving.store.audit_chain import ActorKind, Who
from serving.store.database import open_database
from serving.store.sites import LOCAL_SITE, ensure_local_site, has_site
from tests.benchmarks.measuring import Figure, in_turn

A_ROUND = 200
N_TOKENS = 2_000


def measure() -> list[Figure]:
    """Time the check of a token among many, in a database as it is kept."""
    with tempfile.TemporaryDirectory() as folder:
        database = open_database(Path(folder) / "firstread.sqlite")
        try:
            with database.writing() as connection:
                ensure_local_site(connection)
            trail = open_trail(database, Path(folder))
            tokens = Tokens(database, trail)
            made = [
                tokens.make(
                    name=f"gateway {number}",
                    site=LOCAL_SITE,
                    scopes=frozenset({TokenScope.UPLOAD}),
                    days=1,
                    who=Who(ActorKind.OPERATOR, "bench"),
                    scope=EVERY_SITE,
                )
                for number in range(N_TOKENS)
            ]
            bearer = BearerTokens(
                database, Guesses(most=5, window_s=60.0, clock=time.monotonic), clock=trail.clock
            )
            header = (b"authorization", f"Bearer {made[N_TOKENS // 2].secret}".encode())
            request = Request({"type": "http", "method": "GET", "headers": [header]})

            def check() -> None:
                for _ in range(A_ROUND):
                    assert bearer(request) is not None

            def bare_read() -> None:
                for _ in range(A_ROUND):
                    with database.reading() as connection:
                        assert has_site(connection, LOCAL_SITE)

            pair = in_turn(check, bare_read)
        finally:
            database.close()
    each_ms = 1000 * pair.ours_median_s / A_ROUND
    bare_ms = 1000 * pair.peer_median_s / A_ROUND
    return [
        Figure(
            f"a request's token, one of {N_TOKENS:,}",
            f"{each_ms:.2f} ms",
            f"a read of one row: {bare_ms:.2f} ms",
            "<= 1 ms",
            each_ms <= 1,
        )
    ]
