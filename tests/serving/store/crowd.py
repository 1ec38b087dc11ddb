"""Many senders of the same few studies at once: each sends all, some together, in an order of its own."""

import random
import sys
import threading
from dataclasses import replace
from pathlib import Path

from serving.store.database import Database, open_existing
from serving.store.receipt import ArrivedPatient, ArrivedStudy, Receipt, hold, record
from serving.store.sites import LOCAL_SITE
from tests.serving.store.stored import image, in_four_hours, study

N_STUDIES = 6
N_IMAGES = 4
N_PATIENTS = 2


def arrivals() -> list[ArrivedStudy]:
    """Give an upload for each image of each study; the studies share patients, and some of the bytes."""
    return [
        replace(
            study(f"1.2.{number}", image(f"{number}.{part}", content=f"{(number + part) % 7}")),
            patient=ArrivedPatient("", f"P{number % N_PATIENTS}", "Wang^Fang"),
        )
        for number in range(N_STUDIES)
        for part in range(N_IMAGES)
    ]


def send_all(database: Database, *, seed: int) -> list[Receipt]:
    """Send every image, up to three in one transaction."""
    chance = random.Random(seed)
    waiting = arrivals()
    chance.shuffle(waiting)
    receipts: list[Receipt] = []
    while waiting:
        together = [waiting.pop() for _ in range(min(len(waiting), chance.randint(1, 3)))]
        with database.writing() as connection:
            hold(connection, together, site=LOCAL_SITE, now_us=seed)
            receipts += [
                record(
                    connection,
                    arrived,
                    site=LOCAL_SITE,
                    now_us=seed,
                    place_unscored=in_four_hours,
                    enqueue=lambda _connection, _job: None,
                    max_images=100,
                )
                for arrived in together
            ]
    return receipts


def send_in_threads(database: Database, *, n_threads: int, first_seed: int) -> list[BaseException]:
    """Send from several threads at once; gives what went wrong."""
    wrong: list[BaseException] = []

    def send(seed: int) -> None:
        try:
            send_all(database, seed=seed)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            wrong.append(error)

    threads = [threading.Thread(target=send, args=(first_seed + number,)) for number in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return wrong


if __name__ == "__main__":
    named = sys.argv[1]
    opened = open_existing(named if "://" in named else Path(named))
    failed = send_in_threads(opened, n_threads=6, first_seed=int(sys.argv[2]))
    opened.close()
    sys.exit("; ".join(map(repr, failed)) or None)
