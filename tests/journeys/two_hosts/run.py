"""The service, a worker and the database on three hosts: load, and one wire cut after another."""

import json
import random
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.journeys.kills.campaign import free_port, probe
from tests.journeys.kills.ledger import Ledger
from tests.journeys.kills.material import Picture, photograph
from tests.journeys.kills.reckoning import Reckoning, reckon
from tests.journeys.kills.sending import PATIENCE_S, Client
from tests.journeys.kills.upkeep import ROOT, Kept, environment, firstread
from tests.journeys.two_hosts.network import HERE, Host, network
from tests.serving.store.bucket import Faults, bucket_server, failing_proxy
from tests.serving.store.databases import PostgresServer, postgresql_programs
from tests.tiny_model import write_tiny_artifact

_SEED = 77
N_SENDERS = 4


@dataclass
class Asked:
    """One request of the sender: when it was sent, what came of it and after how long."""

    at_s: float
    answer: str
    took_s: float


@dataclass
class Cut:
    """One wire that was cut and mended, seen by the sender and by who asks for health."""

    wire: str
    seconds: float
    asked: list[Asked]
    health: str
    readiness: str
    acknowledged_after_s: float = 0.0
    scored_after_s: float = 0.0


@dataclass
class Found:
    """What happened."""

    cuts: list[Cut] = field(default_factory=list)
    reckoning: Reckoning = field(default_factory=Reckoning)


@dataclass
class Town:
    """What runs where."""

    client: Client
    programs: list[Kept]
    environment: dict[str, str]
    hosts: dict[str, Host]


class SteadySender(threading.Thread):
    """Sends a photograph now and then and waits for each answer; what was refused is sent again later."""

    def __init__(self, client: Client, ledger: Ledger, number: int) -> None:
        super().__init__(name=f"steady-sender-{number}", daemon=True)
        self.asked: list[Asked] = []
        self._number = number
        self._client = client
        self._ledger = ledger
        self._stopping = threading.Event()
        self._chance = random.Random(number)

    def run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            picture = photograph(_SEED, self._number, number)
            while (answer := self._ask(picture)) not in {"200", "201"} and not self._stopping.wait(0.5):
                self._ledger.retry(answer)
            self._stopping.wait(self._chance.uniform(0.05, 0.3))

    def stop(self) -> None:
        """Send nothing new."""
        self._stopping.set()
        self.join(PATIENCE_S)

    def _ask(self, picture: Picture) -> str:
        start_s = time.monotonic()
        try:
            status, body = self._client.post([picture], {}, None)
            answer = str(status)
            if status in {200, 201}:
                self._ledger.acknowledge([picture], json.loads(body), priority="routine")
            else:
                answer = f"{status} {json.loads(body)['code']}"
        except OSError as error:
            answer = type(error).__name__
        self.asked.append(Asked(start_s, answer, time.monotonic() - start_s))
        return answer


@contextmanager
def town(folder: Path) -> Iterator[Town]:
    """Start everything on its host."""
    models = folder / "models"
    write_tiny_artifact(models, name="derm-lesion", classes=("nv", "mel"))
    (folder / "tmp").mkdir()
    port = free_port()
    with ExitStack() as stack:
        service, worker, database = stack.enter_context(network("service", "worker", "database"))
        bucket = stack.enter_context(bucket_server("studies"))
        store = stack.enter_context(failing_proxy(bucket, Faults(), host=HERE))
        address = _database(stack, folder, database)
        shared = environment(
            FIRSTREAD_MODELS=str(models),
            FIRSTREAD_DATABASE_URL=address,
            FIRSTREAD_OBJECTS_URL="s3://studies/images",
            FIRSTREAD_OBJECTS_ENDPOINT=store,
            FIRSTREAD_OBJECTS_REQUEST_S="5",
            FIRSTREAD_OBJECTS_RETRY_S="10",
            TMPDIR=str(folder / "tmp"),
        )
        serving = shared | {"FIRSTREAD_HOME": str(folder / "service")}
        working = shared | {"FIRSTREAD_HOME": str(folder / "worker")}
        programs = [
            _kept(
                "serve",
                folder,
                service,
                serving,
                "--allow-remote",
                "--host",
                service.address,
                "--port",
                str(port),
            ),
            _kept("worker", folder, worker, working),
        ]
        for program in programs:
            stack.callback(program.stop)
        programs[0].start()
        _wait_for_life(Client(port, host=service.address))
        programs[1].start()
        _run(serving, "admin", "sites", "create", "north", "North")
        token = _run(
            serving,
            *(
                "admin",
                "tokens",
                "create",
                "sender",
                "--site",
                "north",
                "--scope",
                "upload",
                "--scope",
                "read",
            ),
        )
        yield Town(
            Client(port, host=service.address, token=token.split()[-1]),
            programs,
            serving,
            {"service": service, "worker": worker, "database": database},
        )


def _kept(verb: str, folder: Path, host: Host, settings: dict[str, str], *words: str) -> Kept:
    command = host.command(*firstread(verb, *words))
    return Kept(verb, command, environment=settings, log=folder / f"{verb}.log")


def _database(stack: ExitStack, folder: Path, host: Host) -> str:
    programs = postgresql_programs()
    if programs is None:
        raise OSError("there is no PostgreSQL server: apt-get install postgresql")
    made = tempfile.TemporaryDirectory(prefix="firstread-pg-", ignore_cleanup_errors=True)
    place = Path(stack.enter_context(made))
    server = PostgresServer(programs, place)
    server.prepare()
    with (place / "pg_hba.conf").open("a", encoding="ascii") as rules:
        rules.write("host all all 10.77.9.0/24 trust\n")
    account = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    postgres = [str(programs / "postgres"), "-D", str(place), "-k", str(place)]
    command = host.command(*account, *postgres, "-c", f"listen_addresses={host.address}")
    kept = Kept(
        "database", command, environment={"LC_ALL": "C.UTF-8"}, log=folder / "database.log", folder=place
    )
    stack.callback(kept.stop)
    kept.start()
    ready = [str(programs / "pg_isready"), "-q", "-h", str(place), "-d", "postgres", "-t", "1"]
    for _ in range(60):
        if subprocess.run(ready, check=False).returncode == 0:
            break
    server.execute("CREATE DATABASE firstread")
    return f"postgresql://postgres@{host.address}/firstread"


def _run(settings: dict[str, str], *words: str) -> str:
    done = subprocess.run(
        firstread(*words),
        cwd=ROOT,
        env=settings,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _wait_for_life(client: Client) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while client.get_json("/healthz") is None:
        if time.monotonic() > deadline:
            raise TimeoutError("the service does not start")
        time.sleep(0.2)


def run(folder: Path, *, cut_s: float) -> Found:
    """Cut the database off, then the worker, each for so many seconds under load; then reckon."""
    found, ledger = Found(), Ledger()
    with town(folder) as here:
        probe(here.client, ledger, _SEED, 0)
        senders = [SteadySender(here.client, ledger, number) for number in range(1, N_SENDERS + 1)]
        for sender in senders:
            sender.start()
        for number, wire in enumerate(("database", "worker"), start=1):
            time.sleep(5.0)
            found.cuts.append(_cut(here, ledger, senders, wire, cut_s=cut_s, number=number))
        time.sleep(5.0)
        for sender in senders:
            sender.stop()
        found.reckoning = reckon(
            ledger,
            here.client,
            home=folder / "service",
            environment=here.environment,
            stop=lambda: [program.stop() for program in here.programs],
        )
    return found


def _cut(
    here: Town, ledger: Ledger, senders: list[SteadySender], wire: str, *, cut_s: float, number: int
) -> Cut:
    first = [len(sender.asked) for sender in senders]
    here.hosts[wire].unplug()
    time.sleep(cut_s / 2)
    health, readiness = _status(here.client, "/healthz"), _status(here.client, "/readyz")
    time.sleep(cut_s / 2)
    mended_s = time.monotonic()
    asked = [one for sender, n in zip(senders, first, strict=True) for one in sender.asked[n:]]
    here.hosts[wire].plug_in()
    cut = Cut(wire, cut_s, asked, health, readiness)
    probe(here.client, ledger, _SEED, number)
    cut.scored_after_s = time.monotonic() - mended_s
    taken = [one for sender in senders for one in sender.asked if one.answer in {"200", "201"}]
    later = [one.at_s + one.took_s for one in taken]
    cut.acknowledged_after_s = min((at_s for at_s in later if at_s > mended_s), default=mended_s) - mended_s
    return cut


def _status(client: Client, path: str) -> str:
    start_s = time.monotonic()
    try:
        code, body = client.get(path)
        checks = json.loads(body).get("checks", [])
        bad = [f"{one['name']}: {one['detail']}" for one in checks if not one["good"]]
        status = f"{code} ({'; '.join(bad)})" if bad else str(code)
    except OSError as error:
        status = type(error).__name__
    return f"{status} after {time.monotonic() - start_s:.1f} s"


_HEAD = (
    "cut off",
    "for",
    "requests meanwhile: taken",
    "answered otherwise",
    "answers took: median",
    "longest",
    "/healthz",
    "/readyz",
    "first taken after",
    "first scored after",
)


def table(found: Found) -> str:
    """Give a line for each wire, and what was there in the end."""
    lines = [f"| {' | '.join(_HEAD)} |", f"| {' | '.join('---' for _ in _HEAD)} |"]
    for cut in found.cuts:
        taken = [one for one in cut.asked if one.answer in {"200", "201"}]
        others = sorted({one.answer for one in cut.asked if one.answer not in {"200", "201"}})
        took = [one.took_s for one in cut.asked]
        cells = (
            f"the {cut.wire}",
            f"{cut.seconds:.0f} s",
            len(taken),
            f"{len(cut.asked) - len(taken)} ({', '.join(others)})" if others else "0",
            f"{median(took):.1f} s" if took else "-",
            f"{max(took):.1f} s" if took else "-",
            cut.health,
            cut.readiness,
            f"{cut.acknowledged_after_s:.1f} s",
            f"{cut.scored_after_s:.1f} s",
        )
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    end = found.reckoning
    sums = (
        f"Acknowledged {end.counts['acknowledged']} images of {end.counts['studies']} studies; lost "
        f"{len(end.lost)}, scored twice {len(end.scored_twice)}, left unscored {len(end.unscored)}."
    )
    lines += [
        "",
        sums,
        f"{end.audit}.",
        *(f"PROBLEM: {problem}" for problem in end.problems[:50]),
    ]
    return "\n".join(lines)
