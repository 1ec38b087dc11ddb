"""Opens what a verb of `firstread admin` changes: the database, its trail, and who is at the keyboard."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.administration.people.service import Administrator, People
from serving.audit.opening import opened_trail, operator
from serving.audit.trail import AuditTrail
from serving.errors import ServiceError, StartError
from serving.hosting.command import one_sentence_on_failure, read_settings
from serving.identity.opening import open_links
from serving.store.audit_chain import Who
from serving.store.database import Database


@contextmanager
def administering(home: Path | None) -> Iterator[tuple[Database, AuditTrail, Who]]:
    """Open a home for changes beside the running service; whatever is refused ends the program in a sentence.

    Whoever can read the home's files is its operator: the trail names their account on this machine.
    """
    with one_sentence_on_failure():
        settings = read_settings(home=home)
        try:
            with opened_trail(settings) as trail:
                yield trail.database, trail, operator()
        except ServiceError as error:
            raise StartError(error.detail) from error


@contextmanager
def administering_people(home: Path | None) -> Iterator[tuple[People, Administrator]]:
    """Open a home for changes of people."""
    with administering(home) as (database, trail, who):
        yield People(database, trail, open_links(trail)), Administrator(who)
