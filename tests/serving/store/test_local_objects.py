import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from serving.errors import Problem, ServiceError
from serving.store.local_objects import LocalObjects
from serving.store.objects import hash_file

_WRITER = """
import io, os, sys
from pathlib import Path
from serving.store.local_objects import LocalObjects
objects = LocalObjects(Path(sys.argv[1]))
while True:
    print(objects.put(io.BytesIO(os.urandom(300_000))).sha256, flush=True)
"""


def test_kill_9_while_writing_leaves_whole_objects_alone_and_loses_none_acknowledged(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path / "objects")
    for n_lines in (1, 4, 9):
        process = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(objects.folder)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(n_lines)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
        process.communicate()
        visible = {kept.sha256 for kept in objects.each()}
        assert {line.strip() for line in told if line.endswith("\n")} <= visible
        for sha256 in visible:
            assert hash_file(objects.path_of(sha256)).sha256 == sha256


def test_bytes_that_changed_on_the_disk_are_found_at_the_end_of_reading(tmp_path: Path) -> None:
    objects = LocalObjects(tmp_path)
    item = objects.put(io.BytesIO(b"picture"))
    objects.path_of(item.sha256).chmod(0o600)
    objects.path_of(item.sha256).write_bytes(b"picturE")
    with pytest.raises(ServiceError) as caught:
        list(objects.get(item.sha256))
    assert caught.value.problem is Problem.OBJECT_DAMAGED


def test_a_store_with_too_little_room_says_so(tmp_path: Path) -> None:
    with pytest.raises(ServiceError) as caught:
        LocalObjects(tmp_path, min_free_bytes=2**60).check_writable()
    assert caught.value.problem is Problem.STORAGE_FULL


def test_a_disk_that_is_full_is_a_coded_error_and_leaves_nothing(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    objects = LocalObjects(tmp_path / "objects")

    class Full(io.BytesIO):
        def read(self, _n_bytes: int | None = -1) -> bytes:
            raise OSError(28, os.strerror(28))

    with pytest.raises(ServiceError) as caught:
        objects.put(Full())
    assert caught.value.problem is Problem.STORAGE_FULL
    assert list(objects.folder.iterdir()) == []
