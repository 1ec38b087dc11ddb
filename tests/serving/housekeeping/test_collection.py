import io
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from serving.errors import StartError
from serving.housekeeping.collection import HOUR_US, Collected, Collection, Terms
from serving.store.database import Database
from serving.store.idempotency import GivenAnswer, find_answer, keep_answer
from serving.store.local_objects import LocalObjects
from serving.store.objects import StoredObject
from serving.store.receipt import ArrivedInstance
from serving.store.references import hold_references, unreferenced
from serving.store.sites import LOCAL_SITE
from tests.serving.store.databases import Place
from tests.serving.store.stored import image, opened, receive, study

AT_ONCE = Terms(grace_h=0.0, aside_h=0.0)


@pytest.fixture
def database(place: Place) -> Iterator[Database]:
    with opened(place) as database:
        yield database


@pytest.fixture
def objects(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")


def _image_of(item: StoredObject) -> ArrivedInstance:
    plain = image("x")
    fields = {name: getattr(plain, name) for name in plain.__slots__}
    return ArrivedInstance(**fields | {"sop_instance_uid": item.sha256, "sha256": item.sha256})


def _refer(database: Database, *items: StoredObject) -> None:
    with database.writing() as connection:
        receive(connection, study(items[0].sha256, *(_image_of(item) for item in items)))


def _aged(objects: LocalObjects, sha256: str, hours: float, *, aside: bool = False) -> None:
    then = time.time() - hours * 3600
    os.utime(objects.path_of(sha256, aside=aside), (then, then))


def _kept(objects: LocalObjects, content: bytes, *, hours_ago: float = 100.0) -> StoredObject:
    item = objects.put(io.BytesIO(content))
    _aged(objects, item.sha256, hours_ago)
    return item


def test_what_nobody_refers_to_is_set_aside_then_removed_and_the_rest_stays(
    database: Database, objects: LocalObjects
) -> None:
    needed, orphan, young = (
        _kept(objects, b"needed"),
        _kept(objects, b"orphan"),
        objects.put(io.BytesIO(b"young")),
    )
    _refer(database, needed)
    collection = Collection(database, objects, Terms())

    assert collection.run().n_set_aside == 1
    assert objects.head(orphan.sha256) is None
    assert objects.head(orphan.sha256, aside=True) is not None
    assert collection.run().n_removed == 0
    _aged(objects, orphan.sha256, 200, aside=True)
    assert collection.run().n_removed == 1
    assert objects.head(orphan.sha256, aside=True) is None
    assert {kept.sha256 for kept in objects.each()} == {needed.sha256, young.sha256}


def test_looking_changes_nothing(database: Database, objects: LocalObjects) -> None:
    orphan, aside = _kept(objects, b"orphan"), _kept(objects, b"aside")
    objects.set_aside(aside.sha256)
    _aged(objects, aside.sha256, 200, aside=True)
    found = Collection(database, objects, Terms()).look()
    assert found == Collected(
        n_objects=1,
        n_unreferenced=1,
        unreferenced_bytes=6,
        n_young=0,
        n_set_aside=0,
        n_removed=1,
        removed_bytes=5,
        n_brought_back=0,
        n_unfinished=0,
        n_answers=0,
    )
    assert objects.head(orphan.sha256) is not None
    assert objects.head(aside.sha256, aside=True) is not None


def test_what_was_set_aside_by_mistake_comes_back_when_it_is_read(objects: LocalObjects) -> None:
    one, other = _kept(objects, b"one"), _kept(objects, b"other")
    objects.set_aside(one.sha256)
    objects.set_aside(other.sha256)
    assert b"".join(objects.get(one.sha256)) == b"one"
    assert objects.checked(other.sha256).read_bytes() == b"other"


def test_what_was_set_aside_and_is_referred_to_is_brought_back_not_removed(
    database: Database, objects: LocalObjects
) -> None:
    item = _kept(objects, b"needed")
    objects.set_aside(item.sha256)
    _aged(objects, item.sha256, 200, aside=True)
    _refer(database, item)
    found = Collection(database, objects, Terms()).run()
    assert (found.n_removed, found.n_brought_back) == (0, 1)
    assert objects.head(item.sha256) is not None


def test_a_database_that_knows_little_of_the_store_is_refused(
    database: Database, objects: LocalObjects
) -> None:
    for number in range(30):
        _kept(objects, b"%d" % number)
    collection = Collection(database, objects, Terms())
    with pytest.raises(StartError, match=r"30 of the 30 objects .* is it the right one"):
        collection.run()
    assert len(list(objects.each())) == 30
    assert collection.run(even_most=True).n_set_aside == 30


def test_bytes_collected_between_their_upload_and_its_commit_are_brought_back(
    tmp_path: Path, database: Database, objects: LocalObjects
) -> None:
    _kept(objects, b"picture")
    file = tmp_path / "spooled"
    file.write_bytes(b"picture")
    stored = objects.take([file])
    [item] = stored.values()
    assert Collection(database, objects, AT_ONCE).run(even_most=True).n_set_aside == 1
    with database.writing() as connection:
        hold_references(connection)
        objects.confirm(stored, unreferenced(connection, [item.sha256]))
    assert objects.checked(item.sha256).read_bytes() == b"picture"


def test_bytes_that_are_gone_for_good_before_the_commit_are_put_again(
    tmp_path: Path, database: Database, objects: LocalObjects
) -> None:
    item = _kept(objects, b"picture")
    file = tmp_path / "spooled"
    file.write_bytes(b"picture")
    stored = objects.take([file])
    objects.remove(item.sha256)
    with database.writing() as connection:
        hold_references(connection)
        objects.confirm(stored, unreferenced(connection, [item.sha256]))
    assert objects.checked(item.sha256).read_bytes() == b"picture"


def _upload_often(
    seed: int, contents: list[bytes], folder: Path, database: Database, objects: LocalObjects
) -> None:
    chance = random.Random(seed)
    for number in range(40):
        file = folder / f"{seed}-{number}"
        file.write_bytes(chance.choice(contents))
        # Nobody's object is young here, so each counts as one that the collection may know.
        stored = {path: replace(item, was_there=True) for path, item in objects.take([file]).items()}
        if chance.random() < 0.5:
            continue  # cut off before its commit
        item = stored[file]
        with database.writing() as connection:
            hold_references(connection)
            objects.confirm(stored, unreferenced(connection, [item.sha256]))
            receive(connection, study(f"{seed}-{number}", _image_of(item)))
        assert objects.head(item.sha256) is not None


def _collect_often(names: list[str], database: Database, objects: LocalObjects, stop: threading.Event) -> int:
    n_set_aside = 0
    while not stop.is_set():
        for name in names:
            with suppress(FileNotFoundError):
                _aged(objects, name, 100)
        n_set_aside += Collection(database, objects, Terms()).run(even_most=True).n_set_aside
    return n_set_aside


def test_nothing_referred_to_is_ever_gone_while_uploads_race_with_the_collection(
    tmp_path: Path, database: Database, objects: LocalObjects
) -> None:
    contents = [b"content %d" % number for number in range(30)]
    names = [_kept(objects, content).sha256 for content in contents]
    stop = threading.Event()
    with ThreadPoolExecutor(4) as threads:
        collector = threads.submit(_collect_often, names, database, objects, stop)
        uploads = [
            threads.submit(_upload_often, seed, contents, tmp_path, database, objects) for seed in range(3)
        ]
        wait(uploads)
        stop.set()
    assert [upload.result() for upload in uploads] == [None, None, None]
    assert collector.result() > 0
    with database.reading() as connection:
        referred = set(names) - set(unreferenced(connection, names))
    assert referred
    for sha256 in referred:
        assert objects.head(sha256) is not None
        assert b"".join(objects.get(sha256)) in contents


def test_answers_to_idempotency_keys_are_forgotten_after_a_week(
    database: Database, objects: LocalObjects
) -> None:
    now_us = time.time_ns() // 1000
    with database.writing() as connection:
        for key, hours in (("old", 200), ("new", 1)):
            given = GivenAnswer("0" * 64, {})
            keep_answer(connection, given, site=LOCAL_SITE, key=key, now_us=now_us - hours * HOUR_US)
    assert Collection(database, objects, Terms()).look().n_answers == 1
    assert Collection(database, objects, Terms()).run().n_answers == 1
    with database.reading() as connection:
        assert find_answer(connection, site=LOCAL_SITE, key="old") is None
        assert find_answer(connection, site=LOCAL_SITE, key="new") is not None


def test_what_a_killed_writer_left_is_removed_once_it_is_old(
    database: Database, objects: LocalObjects
) -> None:
    for name, hours in ((".writing-old", 100.0), (".writing-new", 0.0)):
        path = objects.folder / name
        path.write_bytes(b"half")
        then = time.time() - hours * 3600
        os.utime(path, (then, then))
    assert Collection(database, objects, Terms()).run().n_unfinished == 1
    assert [path.name for path in objects.folder.glob(".writing-*")] == [".writing-new"]
