"""Readers and studies for tests of reading, on either database, at a clock that the test sets."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from data.phantoms import write_sample_studies
from serving.identity.caller import Role
from serving.reading.terms import ReadingTerms
from serving.store.audit_chain import AuditRow
from serving.store.times import now_us
from tests.serving.identity.people import YEAR_US, browser, enter, let_in, rows
from tests.serving.service_in_process import Service, in_process, photograph
from tests.serving.store.databases import Place

MINUTE_US = 60_000_000


@dataclass
class Clock:
    """The present, moved on by a test."""

    ahead_us: int = 0

    def __call__(self) -> int:
        return now_us() + self.ahead_us

    def pass_minutes(self, minutes: float) -> None:
        self.ahead_us += round(minutes * MINUTE_US)


@dataclass
class ReadingRoom:
    """A service with people who read."""

    service: Service
    clock: Clock
    people: dict[str, TestClient] = field(default_factory=dict)

    def reader(
        self,
        name: str,
        *more: Role,
        site: str = "local",
        everywhere: bool = True,
        licensed: bool = True,
        specialties: tuple[str, ...] = (),
    ) -> TestClient:
        """Give a reader's browser; entered at the first call."""
        if name not in self.people:
            person = enter(
                self.service,
                Role.READER,
                *more,
                name=name,
                site=site,
                everywhere=everywhere,
                licence_ends_us=now_us() + YEAR_US if licensed else None,
                specialties=specialties,
            )
            self.people[name] = browser(self.service, let_in(self.service, person))
        return self.people[name]

    def person(self, name: str, *roles: Role, site: str = "local", everywhere: bool = True) -> TestClient:
        """Give the browser of somebody who is no reader."""
        if name not in self.people:
            entered = enter(self.service, *roles, name=name, site=site, everywhere=everywhere)
            self.people[name] = browser(self.service, let_in(self.service, entered))
        return self.people[name]

    def send(self, red: int = 200, *, site: str = "local", score: bool = True, **fields: str) -> str:
        """Send a photograph and give its study's key."""
        sender = self.person(f"sender-{site}", Role.UPLOADER, site=site, everywhere=False)
        files = {"files": (f"{red}.jpg", photograph(red))}
        answer = sender.post("/api/v1/studies", files=files, data=fields)
        assert answer.status_code in {200, 201}, answer.text
        if score:
            self.service.score_all()
        key: str = answer.json()["studies"][0]["id"]
        return key

    def rows(self, *actions: str) -> list[AuditRow]:
        """Give the rows of the trail that tell of some actions."""
        return [row for row in rows(self.service) if row.action in actions]


def slices(folder: Path) -> list[bytes]:
    """Give the files of a study of several images."""
    (head,) = write_sample_studies(folder, seed=1, n_skin=0, n_chest=0, n_head=1)
    return [path.read_bytes() for path in sorted(head.iterdir())[:3]]


@contextmanager
def reading_room(folder: Path, place: Place | None = None, **terms: Any) -> Iterator[ReadingRoom]:  # noqa: ANN401
    clock = Clock()
    with in_process(
        folder, with_sign_in=True, clock=clock, place=place, reading_terms=ReadingTerms(**terms)
    ) as service:
        yield ReadingRoom(service, clock)
