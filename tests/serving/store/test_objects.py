import hashlib
import stat
from pathlib import Path

import pytest

from serving.errors import Problem, ServiceError
from serving.store.local_objects import LocalObjects


def _written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_a_file_is_named_by_its_hash_and_cannot_be_written_any_more(tmp_path: Path) -> None:
    store = LocalObjects(tmp_path / "objects")
    file = _written(tmp_path, "a", b"picture")
    stored = store.take([file])[file]
    kept = store.checked(stored.sha256)
    assert kept.name == hashlib.sha256(b"picture").hexdigest()
    assert kept.read_bytes() == b"picture"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o440
    assert not file.exists()


def test_the_same_bytes_are_stored_once(tmp_path: Path) -> None:
    store = LocalObjects(tmp_path / "objects")
    for name in ("a", "b"):
        store.take([_written(tmp_path, name, b"picture")])
    assert len([path for path in store.folder.rglob("*") if path.is_file()]) == 1


def test_a_file_whose_bytes_have_changed_is_not_given_out(tmp_path: Path) -> None:
    store = LocalObjects(tmp_path / "objects")
    file = _written(tmp_path, "a", b"picture")
    sha256 = store.take([file])[file].sha256
    store.path_of(sha256).chmod(0o600)
    store.path_of(sha256).write_bytes(b"picturE")
    with pytest.raises(ServiceError, match="no longer has the bytes") as caught:
        store.checked(sha256)
    assert caught.value.problem is Problem.OBJECT_DAMAGED


def test_a_damaged_file_is_mended_by_sending_it_again(tmp_path: Path) -> None:
    store = LocalObjects(tmp_path / "objects")
    sha256 = store.take([_written(tmp_path, "a", b"picture")])[tmp_path / "a"].sha256
    store.path_of(sha256).chmod(0o600)
    store.path_of(sha256).write_bytes(b"pic")
    store.take([_written(tmp_path, "b", b"picture")])
    assert store.checked(sha256).read_bytes() == b"picture"


def test_a_file_that_is_gone_is_said_to_be_gone(tmp_path: Path) -> None:
    store = LocalObjects(tmp_path / "objects")
    with pytest.raises(ServiceError, match="is gone"):
        store.checked("0" * 64)


def test_a_name_that_is_no_hash_never_becomes_a_path(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is not a SHA-256"):
        LocalObjects(tmp_path / "objects").path_of("../../etc/passwd")
