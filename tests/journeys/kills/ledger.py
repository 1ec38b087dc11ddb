"""What senders were told: the images of each study that the service said it has, and with which priority."""

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from serving.store.receipt import PRIORITIES
from tests.journeys.kills.material import Picture


@dataclass
class KnownStudy:
    """A study as its sender knows it: `images` by their SHA-256, and the highest priority asked for."""

    key: str
    images: dict[str, Picture] = field(default_factory=dict)
    priority: str = "routine"


class Ledger:
    """Takes down every acknowledgement; many threads write into it.

    Attributes
    ----------
    studies : dict of str to KnownStudy
        By the service's key.
    faults : list of str
        Answers that contradict earlier ones, or refuse what is good.
    counts : Counter of str
        `acknowledged`: images; `requests`; `retries`: requests without an answer, or with a 5xx.
    """

    def __init__(self) -> None:
        self.studies: dict[str, KnownStudy] = {}
        self.faults: list[str] = []
        self.counts: Counter[str] = Counter()
        self.retried_because: Counter[str] = Counter()
        self._study_of_image: dict[str, str] = {}
        self._lock = threading.Lock()

    def acknowledge(self, pictures: Sequence[Picture], answer: dict[str, Any], *, priority: str) -> list[str]:
        """Note what an answer says of the pictures that were sent; gives the keys of their studies."""
        with self._lock:
            key_of_file = {file: study["id"] for study in answer["studies"] for file in study["files"]}
            for picture in pictures:
                key = key_of_file.get(picture.name)
                if key is None:
                    self.faults.append(f"{picture.name} stands in no study of its answer: {answer}")
                    continue
                before = self._study_of_image.setdefault(picture.sha256, key)
                if before != key:
                    self.faults.append(f"{picture.name} was of study {before}, and is of {key} now")
                study = self.studies.setdefault(key, KnownStudy(key))
                study.images[picture.sha256] = picture
                study.priority = min(study.priority, priority, key=PRIORITIES.index)
                self.counts["acknowledged"] += 1
            self.counts["requests"] += 1
            return list(dict.fromkeys(key_of_file.values()))

    def retry(self, why: str) -> None:
        """Note that a request has to be sent again."""
        with self._lock:
            self.counts["retries"] += 1
            self.retried_because[why] += 1

    def fault(self, text: str) -> None:
        """Note what must not happen."""
        with self._lock:
            self.faults.append(text)
