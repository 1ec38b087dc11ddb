"""An inbox on a database of its own, with a sender that may send."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Connection

from serving.audit.opening import open_trail
from serving.orders.inbox import Inbox
from serving.orders.service import Orders
from serving.store.audit import read_rows
from serving.store.audit_chain import AuditRow
from serving.store.database import Database
from serving.store.hl7_senders import Hl7Sender, add_sender
from serving.store.jobs import Job
from serving.store.orders import StoredOrder, find_orders
from serving.store.receipt import ArrivedPatient, ArrivedStudy, Receipt, hold, record
from serving.store.sites import LOCAL_SITE
from serving.store.studies import StoredStudy, find_study
from serving.worklist.placement import Placer
from serving.worklist.policy import read_policy
from tests.serving.store.databases import Place
from tests.serving.store.stored import LOCAL, opened, study

ADDRESS = "192.0.2.7"
SENDER = Hl7Sender("", LOCAL_SITE, "192.0.2.0/24", "RIS", "", "", "")
PLACER = Placer(read_policy())


@dataclass
class Jobs:
    jobs: list[Job] = field(default_factory=list)

    def enqueue(self, _connection: Connection, job: Job) -> None:
        self.jobs.append(job)


@dataclass
class Receiving:
    database: Database
    inbox: Inbox
    queue: Jobs

    def take(self, text: str, *, codec: str = "utf-8", address: str = ADDRESS) -> list[list[str]]:
        """Give the segments of the answers to a message, all in one list, as fields."""
        answers = self.inbox.take(text.encode(codec), address=address)
        return [line.split("|") for answer in answers for line in answer.decode(codec).split("\r") if line]

    def code(self, text: str, *, codec: str = "utf-8", address: str = ADDRESS) -> str:
        """Give what the one answer says: AA, AE or AR, and the code of the error."""
        lines = {line[0]: line for line in self.take(text, codec=codec, address=address)}
        error = lines.get("ERR", [])
        return f"{lines['MSA'][1]} {error[3].partition('^')[0]}" if error else lines["MSA"][1]

    def orders(self, accession: str = "ACC1") -> list[StoredOrder]:
        with self.database.reading() as connection:
            return find_orders(connection, scope=LOCAL, accession=accession)

    def receive(
        self,
        uid: str,
        *,
        accession: str = "ACC1",
        patient: str = "P1",
        priority: str = "routine",
        quiet_us: int | None = None,
    ) -> Receipt:
        who = ArrivedPatient("", patient, "Wang") if patient else None
        arrived: ArrivedStudy = replace(study(uid, priority=priority), accession=accession, patient=who)
        with self.database.writing() as connection:
            hold(connection, [arrived], site=LOCAL_SITE, now_us=1)
            return record(
                connection,
                arrived,
                site=LOCAL_SITE,
                now_us=1,
                place_unscored=PLACER.unscored,
                enqueue=self.queue.enqueue,
                max_images=100,
                quiet_us=quiet_us,
            )

    def study(self, key: str) -> StoredStudy:
        with self.database.reading() as connection:
            found = find_study(connection, scope=LOCAL, key=key)
        assert found is not None
        return found

    def rows(self) -> list[AuditRow]:
        with self.database.reading() as connection:
            return list(read_rows(connection))


@contextmanager
def receiving(place: Place, folder: Path, *senders: Hl7Sender) -> Iterator[Receiving]:
    with opened(place) as database:
        with database.writing() as connection:
            for sender in senders or (SENDER,):
                add_sender(connection, sender, created_by="test", now_us=0)
        trail = open_trail(database, folder)
        queue = Jobs()
        yield Receiving(database, Inbox(Orders(database, trail, PLACER, queue)), queue)
