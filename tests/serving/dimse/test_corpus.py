"""The whole corpus by C-STORE: each file is kept byte for byte, or refused with a status that says why."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from serving.dimse import calling
from serving.dimse.association import Association
from serving.dimse.calling import Calling
from serving.dimse.part10 import data_set_of
from serving.dimse.pdu import Proposal
from serving.dimse.sending import send
from serving.store.dicom_images import find_instances
from serving.store.tenancy import Scope
from tests.serving.dimse.service_by_dicom import called


@pytest.mark.datasets
def test_the_whole_corpus_is_kept_byte_for_byte_or_refused_with_a_status(
    datasets: Path, tmp_path: Path
) -> None:
    with called(tmp_path) as running:
        place = calling.Place("FIRSTREAD", "127.0.0.1", running.port)

        def call(proposals: Sequence[Proposal]) -> Association:
            return Calling("SENDER")(place, proposals)

        outcomes: Counter[str] = Counter()
        files = sorted((datasets / "dicom_corpus").rglob("*.dcm"))
        for sent in send(files, call):
            if sent.status is None:  # it is none that can be sent: no DICOM, or no SOP Class or Instance
                assert sent.problem, sent.path
                outcomes["not sent"] += 1
                continue
            outcomes[f"{sent.status:04X}"] += 1
            if sent.status != 0:
                assert sent.problem, sent.path
                continue
            from serving.dimse.sending import read_outgoing

            uid = read_outgoing(sent.path).identity.sop_instance_uid
            with running.service.database.reading() as connection:
                known = find_instances(connection, scope=Scope.of("local"), uids=[uid])[uid]
            stored = b"".join(running.service.objects.get(known.sha256))
            ours, theirs = (b"".join(data_set_of([one])) for one in (stored, sent.path.read_bytes()))
            assert ours == theirs, sent.path
        assert outcomes.total() == len(files)
        assert outcomes["0000"] > 150, outcomes
        assert outcomes["0000"] > outcomes.total() / 2
        assert list(running.service.intake.spool.iterdir()) == []
        assert running.listener.entity.parts.figures["aborted-associations"] == 0
