"""The whole way of refused files on both databases, and two administrators at one entry."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import insert

from serving.store.quarantine import HeldState
from serving.store.tables import sites
from tests.serving.quarantine.refusing import commented, entries, image_of_ct, written
from tests.serving.service_in_process import in_process
from tests.serving.store.databases import Place

LIST = "/api/v1/quarantine"


def test_what_was_refused_is_listed_corrected_taken_in_given_up_and_purged(
    tmp_path: Path, place: Place
) -> None:
    dataset = image_of_ct(tmp_path / "ct")
    files = [
        ("first.dcm", written(dataset)),
        ("second.dcm", commented(dataset, "second")),
        ("third.dcm", commented(dataset, "third")),
        ("letter.txt", b"a letter"),
    ]
    (home := tmp_path / "home").mkdir()
    with in_process(home, place=place) as service:
        with service.database.writing() as connection:
            connection.execute(insert(sites).values(id="north", name="North"))
        client = service.client
        sent = client.post("/api/v1/studies", files=[("files", file) for file in files]).json()
        assert [line["reason"] for line in sent["rejected"]] == ["not-an-image"] + ["duplicate-uid"] * 2
        letter, second, third = (f"{LIST}/{line['quarantine']}" for line in sent["rejected"])
        assert client.get(LIST, params={"reason": "duplicate-uid", "limit": 1}).json()["found"] == 2

        client.post(f"{second}/corrections", json={"new_uid": True})
        with ThreadPoolExecutor(4) as administrators:
            answers = list(administrators.map(lambda _: client.post(f"{second}/retry"), range(4)))
        assert {answer.status_code for answer in answers} <= {200, 409}
        (study,) = sent["studies"]
        assert client.get(study["url"]).json()["images"][1:] != []
        assert len(client.get(study["url"]).json()["images"]) == 2

        assert client.post(f"{third}/corrections", json={"site": "north", "new_uid": True}).status_code == 200
        assert client.post(f"{third}/retry").status_code == 200  # there it is the only one
        client.post(f"{LIST}/discard", json={"filter": {"door": "upload"}, "reason": "letters"})
        states = {entry.file_name: entry.state for entry in entries(service)}
        assert states == {
            "second.dcm": HeldState.TAKEN,
            "third.dcm": HeldState.TAKEN,
            "letter.txt": HeldState.DISCARDED,
        }
        assert client.get(letter).json()["ending"] == "letters"
        assert client.post(f"{LIST}/purge", json={"older_than_days": 0}).json()["entries"] == 1
