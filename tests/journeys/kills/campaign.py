"""Kills processes at random moments under load, and measures how soon studies are scored again."""

import random
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.journeys.kills import victims
from tests.journeys.kills.ledger import Ledger
from tests.journeys.kills.material import photograph
from tests.journeys.kills.postgresql import kept_postgresql
from tests.journeys.kills.reckoning import Reckoning, reckon
from tests.journeys.kills.sending import PATIENCE_S, Client, Sender, send
from tests.journeys.kills.upkeep import Kept, environment, firstread
from tests.journeys.kills.victims import Victim
from tests.tiny_model import write_tiny_artifact

# Of the kills, so many follow the one before at once: they hit what is only just starting.
_SHARE_IN_A_ROW = 0.25

_PROBE = 10_000  # the number of the sender that asks whether all is well again


@dataclass(frozen=True)
class Plan:
    """What a campaign does; the same seed strikes the same victims after the same pauses."""

    n_kills: int
    seed: int = 1
    n_senders: int = 4
    pause_s: float = 0.15
    longest_between_s: float = 1.5
    spared: frozenset[str] = frozenset()


@dataclass
class Strike:
    """One kill: the time until a study sent after it was scored; None if the next kill came first."""

    victim: str
    recovered_s: float | None
    n_acknowledged: int = 0
    n_retries: int = 0


@dataclass
class Campaign:
    """What happened, and what is there at the end."""

    plan: Plan
    database: str
    strikes: list[Strike] = field(default_factory=list)
    seconds: float = 0.0
    reckoning: Reckoning = field(default_factory=Reckoning)


@dataclass
class Installation:
    """Everything that runs: the service, and what may be killed of it."""

    client: Client
    programs: list[Kept]
    victims: list[Victim]
    home: Path
    environment: dict[str, str]


@contextmanager
def installed(folder: Path, *, database: str) -> Iterator[Installation]:
    """Start the service as it is meant to be run with a database, and end it.

    With SQLite it scores by itself; with PostgreSQL two workers do, and the service receives.
    """
    models, scratch = folder / "models", folder / "tmp"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    scratch.mkdir()
    port, home = free_port(), folder / "home"
    shared = environment(
        FIRSTREAD_MODELS=str(models), FIRSTREAD_OBJECTS_URL=str(home / "objects"), TMPDIR=str(scratch)
    )
    aims: list[Victim] = []
    workers: list[Kept] = []
    with ExitStack() as stack:
        serving = shared | {"FIRSTREAD_HOME": str(home)}
        if database == "postgresql":
            address, kept = stack.enter_context(kept_postgresql(folder / "postgresql.log"))
            for settings in (shared, serving):
                settings["FIRSTREAD_DATABASE_URL"] = address
            serving["FIRSTREAD_WORKERS"] = "0"
            workers = [_worker(folder, shared, number) for number in (1, 2)]
            aims += [
                victims.whole_database(kept, weight=2),
                victims.database_backend(kept, weight=1),
                victims.program("worker", workers, weight=2),
            ]
        server = Kept(
            "server",
            firstread("serve", "--without-sign-in", "--port", str(port)),
            environment=serving,
            log=folder / "server.log",
        )
        aims += [
            victims.program("server", [server], weight=3),
            victims.scoring_process(workers or [server], weight=2),
        ]
        for program in (server, *workers):
            stack.callback(program.stop)
            program.start()
        yield Installation(
            client=Client(port), programs=[server, *workers], victims=aims, home=home, environment=serving
        )


def _worker(folder: Path, shared: dict[str, str], number: int) -> Kept:
    return Kept(
        f"worker-{number}",
        firstread("worker"),
        environment=shared | {"FIRSTREAD_HOME": str(folder / f"worker-{number}")},
        log=folder / f"worker-{number}.log",
    )


def run(plan: Plan, folder: Path, *, database: str) -> Campaign:
    """Run a campaign in a folder; everything that ran is stopped at the end."""
    campaign = Campaign(plan, database)
    ledger = Ledger()
    chance = random.Random(plan.seed)
    start_s = time.monotonic()
    with installed(folder, database=database) as installation:
        probe(installation.client, ledger, plan.seed, 0)
        senders = [
            Sender(installation.client, ledger, seed=plan.seed, number=number, pause_s=plan.pause_s)
            for number in range(plan.n_senders)
        ]
        for sender in senders:
            sender.start()
        try:
            for number in range(1, plan.n_kills + 1):
                campaign.strikes.append(_strike(installation, ledger, plan, chance, number))
            probe(installation.client, ledger, plan.seed, plan.n_kills + 1)
        finally:
            for sender in senders:
                sender.stop()
            for sender in senders:
                sender.join(PATIENCE_S * 2)
        campaign.reckoning = reckon(
            ledger,
            installation.client,
            home=installation.home,
            environment=installation.environment,
            stop=lambda: [program.stop() for program in reversed(installation.programs)],
        )
    campaign.seconds = time.monotonic() - start_s
    return campaign


def _strike(
    installation: Installation, ledger: Ledger, plan: Plan, chance: random.Random, number: int
) -> Strike:
    time.sleep(chance.uniform(0, plan.longest_between_s))
    aims = [one for one in installation.victims if one.name not in plan.spared]
    victim = chance.choices(aims, [one.weight for one in aims])[0]
    before = ledger.counts.copy()
    while not victim.strike(chance):  # it is being started again just now
        time.sleep(0.02)
    struck_s = time.monotonic()
    recovered_s = None
    if chance.random() >= _SHARE_IN_A_ROW:
        probe(installation.client, ledger, plan.seed, number)
        recovered_s = time.monotonic() - struck_s
    return Strike(
        victim.name,
        recovered_s,
        n_acknowledged=ledger.counts["acknowledged"] - before["acknowledged"],
        n_retries=ledger.counts["retries"] - before["retries"],
    )


def probe(client: Client, ledger: Ledger, seed: int, number: int) -> None:
    """Send a photograph that is due at once, and wait until it is acknowledged and scored.

    Raises
    ------
    TimeoutError
        If that never happens: the service did not recover.
    """
    picture = photograph(seed, _PROBE, number)
    keys = send(client, ledger, [picture], priority="stat", chance=random.Random(number))
    deadline = time.monotonic() + PATIENCE_S
    while keys and time.monotonic() < deadline:
        study = client.get_json(f"/api/v1/studies/{keys[0]}")
        if study is not None and study["state"] not in {"received", "scoring"}:
            return
        time.sleep(0.05)
    raise TimeoutError(f"kill {number}: no study was scored within {PATIENCE_S:.0f} s after it")


def free_port() -> int:
    """Give a port that stays free while nobody listens: outgoing connections take theirs from above."""
    for port in random.SystemRandom().sample(range(20_000, 30_000), 100):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port from 20000 to 29999 is free")
