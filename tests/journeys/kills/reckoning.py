"""What is there in the end, held against what senders were told."""

import io
import json
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import func, select

from serving.errors import ServiceError
from serving.settings import Settings
from serving.store.audit_chain import Action, Result
from serving.store.database import open_existing
from serving.store.objects import ObjectStore
from serving.store.opening import open_objects
from serving.store.receipt import PRIORITIES
from serving.store.tables import audit, instances, objects, scores, studies
from tests.journeys.kills.ledger import KnownStudy, Ledger
from tests.journeys.kills.sending import PATIENCE_S, Client
from tests.journeys.kills.upkeep import ROOT, firstread


@dataclass
class Reckoning:
    """What a campaign left; every list is empty if all is well."""

    counts: Counter[str] = field(default_factory=Counter)
    retried_because: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    scored_twice: list[str] = field(default_factory=list)
    unscored: list[str] = field(default_factory=list)
    not_in_queue: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    audit: str = ""
    left_behind: dict[str, int] = field(default_factory=dict)

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        return [*self.lost, *self.scored_twice, *self.unscored, *self.not_in_queue, *self.faults]


def reckon(
    ledger: Ledger,
    client: Client,
    *,
    home: Path,
    environment: Mapping[str, str],
    stop: Callable[[], object],
) -> Reckoning:
    """Read everything back, first by HTTP, then, once `stop` has ended the service, from its stores."""
    found = Reckoning(ledger.counts, ledger.retried_because, faults=list(ledger.faults))
    for key in ledger.studies:
        _settled(client, key)  # one that is ranked anew meanwhile may be passed twice, or never
    waiting = _worklist(client, found)
    for study in ledger.studies.values():
        _check_by_http(client, study, waiting, found)
    found.counts["studies"] = len(ledger.studies)
    _verify_audit(environment, found)  # beside the running service
    stop()
    _verify_audit(environment, found)
    _check_stores(ledger, _settings(environment), found)
    _count_left_behind(home, Path(environment["TMPDIR"]), found)
    return found


def _settings(environment: Mapping[str, str]) -> Settings:
    prefix = "FIRSTREAD_"
    given = {
        name.removeprefix(prefix).lower(): value
        for name, value in environment.items()
        if name.startswith(prefix)
    }
    return Settings.model_validate(given)


def _worklist(client: Client, found: Reckoning) -> Counter[str]:
    """Walk the queue from its head to its end; gives how often each study stands in it."""
    keys: Counter[str] = Counter()
    cursor = ""
    while True:
        page = _asked(client, f"/api/v1/worklist?limit=200{cursor}")
        if page is None:
            found.faults.append("the worklist cannot be read")
            return keys
        keys.update(entry["id"] for entry in page["entries"])
        if not page["next"]:
            return keys
        cursor = f"&cursor={page['next'].split('cursor=')[-1]}"


def _check_by_http(client: Client, known: KnownStudy, waiting: Counter[str], found: Reckoning) -> None:
    study = _settled(client, known.key)
    if study is None:
        found.lost.append(f"study {known.key} cannot be read any more")
        return
    if study["state"] != "scored":
        found.unscored.append(f"study {known.key} is {study['state']}: {study['reason']}, {study['problem']}")
    if waiting[known.key] != 1:
        found.not_in_queue.append(f"study {known.key} stands {waiting[known.key]} times in the queue")
    if PRIORITIES.index(study["priority"]) > PRIORITIES.index(known.priority):
        found.lost.append(f"study {known.key} is {study['priority']}, and {known.priority} was acknowledged")
    image_of = {image["sha256"]: image for image in study["images"]}
    if len(study["images"]) != len(known.images):
        found.faults.append(
            f"study {known.key} has {len(study['images'])} images, {len(known.images)} were sent"
        )
    for sha256, picture in known.images.items():
        image = image_of.get(sha256)
        if image is None:
            found.lost.append(f"{picture.name} of study {known.key} is not there")
            continue
        status, body = client.get(image["first_frame"]["rendered"], Accept="image/png")
        if status != 200 or not np.array_equal(np.asarray(Image.open(io.BytesIO(body))), picture.pixels):
            found.lost.append(f"{picture.name} of study {known.key} is not shown as it was sent: {status}")


def _settled(client: Client, key: str) -> Any | None:  # noqa: ANN401 - whatever JSON says
    deadline = time.monotonic() + PATIENCE_S
    study = None
    while time.monotonic() < deadline:
        study = _asked(client, f"/api/v1/studies/{key}")
        if study is None or study["state"] not in {"received", "scoring"}:
            return study
        time.sleep(0.1)
    return study


def _asked(client: Client, path: str) -> Any | None:  # noqa: ANN401 - whatever JSON says
    for _ in range(3):
        if (answer := client.get_json(path)) is not None:
            return answer
        time.sleep(0.5)
    return None


def _verify_audit(environment: Mapping[str, str], found: Reckoning) -> None:
    done = subprocess.run(
        firstread("audit", "verify"),
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    said = (done.stdout + done.stderr).strip().splitlines()
    notes = [line for line in said if line.startswith("note")]
    found.audit = "; ".join(line for line in said if line not in notes) + (
        f"; {len(notes)} notes of rows that only the database vouches for" if notes else ""
    )
    if done.returncode:
        found.faults.append(found.audit)


def _check_stores(ledger: Ledger, settings: Settings, found: Reckoning) -> None:
    database, store = open_existing(settings.database), open_objects(settings)
    try:
        with database.reading() as connection:
            rows = connection.execute(select(studies.c.key, studies.c.id, studies.c.uid, studies.c.revision))
            of_key = {row.key: row for row in rows}
            for key in of_key.keys() - ledger.studies.keys():
                found.faults.append(f"study {key} is there, and nobody was told so")
            score_of = scores.c.study_id, scores.c.revision, scores.c.model_name, scores.c.model_version
            once = select(func.count()).select_from(scores).group_by(*score_of)
            found.counts["scores"] = connection.execute(select(func.count()).select_from(scores)).scalar_one()
            if any(n > 1 for n in connection.execute(once).scalars()):
                found.scored_twice.append("a revision has two scores of one model")
            said = select(audit.c.study_uid, audit.c.details, audit.c.model).where(
                audit.c.action == Action.SCORED, audit.c.result == Result.DONE
            )
            _check_trail(connection.execute(said).all(), found)
            newest = dict(
                connection.execute(
                    select(scores.c.study_id, func.max(scores.c.revision)).group_by(scores.c.study_id)
                ).all()
            )
            for row in of_key.values():
                if newest.get(row.id) != row.revision:
                    found.unscored.append(f"study {row.key} has no score of its revision {row.revision}")
            referred = set(connection.execute(select(instances.c.sha256)).scalars())
            found.counts["rows of objects nobody refers to"] = len(
                set(connection.execute(select(objects.c.sha256)).scalars()) - referred
            )
    finally:
        database.close()
    for known in ledger.studies.values():
        for sha256, picture in known.images.items():
            if _kept(store, sha256) != picture.content:
                found.lost.append(f"{picture.name} of study {known.key} is not kept as it was sent")
    found.left_behind["stored files that nobody refers to"] = len(
        {kept.sha256 for kept in store.each()} - referred
    )


def _kept(store: ObjectStore, sha256: str) -> bytes | None:
    try:
        return b"".join(store.get(sha256))
    except ServiceError:
        return None


def _check_trail(rows: Any, found: Reckoning) -> None:  # noqa: ANN401 - rows of SQLAlchemy
    """Find what the trail says was scored twice: a second score may have been made and not been kept."""
    said = Counter((row.study_uid, json.loads(row.details)["revision"], row.model) for row in rows)
    found.scored_twice += [f"{what} stands {n} times in the trail" for what, n in said.items() if n > 1]


def _count_left_behind(home: Path, scratch: Path, found: Reckoning) -> None:
    found.left_behind |= {
        "files in the spool": sum(
            1 for one in (home / "spool").rglob("*") if one.is_file() and one.suffix != ".lock"
        ),
        "half-written objects": sum(1 for _ in (home / "objects").glob(".writing-*")),
        "temporary files": sum(1 for one in scratch.rglob("*") if one.is_file()),
    }
