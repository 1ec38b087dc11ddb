import hashlib
import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from serving.errors import Problem, ServiceError
from serving.store.cloud_objects import Bucket, CloudObjects
from tests.serving.store.bucket import Faults, bucket_server, failing_proxy

MEBIBYTE = 1024 * 1024
SECRET = "a-key-that-nobody-may-read"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with bucket_server("images") as address:
        yield address


@pytest.fixture(autouse=True)
def _keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")


def _opened(
    endpoint: str, tmp_path: Path, *, bucket: str = "images", encryption: str = "", request_s: float = 20.0
) -> CloudObjects:
    where = Bucket(
        f"s3://{bucket}/{tmp_path.name}",
        endpoint=endpoint,
        encryption=encryption,
        request_s=request_s,
        retry_s=20.0,
        max_retries=4,
    )
    return CloudObjects(where, tmp_path / "cache", max_cache_bytes=64 * MEBIBYTE)


def test_the_six_verbs_do_in_a_bucket_what_they_do_in_a_folder(server: str, tmp_path: Path) -> None:
    objects = _opened(server, tmp_path)
    content = bytes(range(256)) * 80_000  # 20 MB: three parts up, five ranges down
    item = objects.put(io.BytesIO(content))
    assert (item.sha256, item.n_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert b"".join(objects.get(item.sha256)) == content
    assert objects.checked(item.sha256).read_bytes() == content
    kept = objects.head(item.sha256)
    assert list(objects.each()) == [kept]
    assert objects.set_aside(item.sha256)
    assert objects.head(item.sha256) is None
    assert [one.sha256 for one in objects.each(aside=True)] == [item.sha256]
    assert b"".join(objects.get(item.sha256)) == content  # whoever asks has it back
    objects.remove(item.sha256)
    objects.remove(item.sha256)
    assert list(objects.each()) == []
    with pytest.raises(ServiceError, match="is gone"):
        objects.get(item.sha256)


def test_other_bytes_than_were_stored_are_never_given_out_as_whole(server: str, tmp_path: Path) -> None:
    objects = _opened(server, tmp_path)
    item = objects.put(io.BytesIO(b"picture"))
    obstore.put(objects._store, f"{item.sha256[:2]}/{item.sha256}", b"picturE")
    with pytest.raises(ServiceError) as caught:
        list(objects.get(item.sha256))
    assert caught.value.problem is Problem.OBJECT_DAMAGED
    with pytest.raises(ServiceError):
        objects.checked(item.sha256)


@pytest.mark.parametrize("name", ["../../etc/passwd", "A" * 64, "", "0" * 63 + "/"])
def test_a_name_that_is_no_hash_reaches_no_bucket(server: str, tmp_path: Path, name: str) -> None:
    faults = Faults()
    with failing_proxy(server, faults) as endpoint:
        objects = _opened(endpoint, tmp_path)
        for verb in (objects.get, objects.head, objects.remove, objects.set_aside, objects.checked):
            with pytest.raises(ValueError, match="is not a SHA-256"):
                verb(name)
    assert faults.seen == []


def test_what_passes_is_tried_again(server: str, tmp_path: Path) -> None:
    faults = Faults(plan=["500", "500", "", "500"])
    with failing_proxy(server, faults) as endpoint:
        objects = _opened(endpoint, tmp_path, request_s=2.0)
        item = objects.put(io.BytesIO(b"x" * 100_000))
        faults.plan = ["", "cut", "slow", "500"]
        assert b"".join(objects.get(item.sha256)) == b"x" * 100_000
    assert faults.plan == []


def test_a_store_that_stays_away_is_a_coded_error_without_any_key(
    server: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faults = Faults()
    with failing_proxy(server, faults) as endpoint:
        objects = _opened(endpoint, tmp_path)
        faults.plan = ["500"] * 60
        with pytest.raises(ServiceError) as caught:
            objects.put(io.BytesIO(b"picture"))
        with pytest.raises(ServiceError):
            objects.check_writable()
    assert caught.value.problem is Problem.STORAGE_UNAVAILABLE
    assert SECRET not in caplog.text + str(caught.value) + repr(caught.value.__cause__)
    assert list(_opened(server, tmp_path).each()) == []


def test_a_bucket_that_does_not_exist_is_named(server: str, tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match=r"s3://missing/.* does not exist"):
        _opened(server, tmp_path, bucket="missing").check_writable()


@pytest.mark.parametrize("encryption", ["AES256", "aws:kms"])
def test_s3_is_asked_to_encrypt_what_it_keeps(server: str, tmp_path: Path, encryption: str) -> None:
    faults = Faults()
    with failing_proxy(server, faults) as endpoint:
        objects = _opened(endpoint, tmp_path, encryption=encryption)
        item = objects.put(io.BytesIO(b"picture"))
        objects.set_aside(item.sha256)
    writes = [headers for verb, _path, headers in faults.seen if verb == "PUT"]
    assert len(writes) == 2
    for headers in writes:
        lowered = {name.lower(): value for name, value in headers.items()}
        assert lowered["x-amz-server-side-encryption"] == encryption


_BIG = """
import hashlib, resource, sys
from pathlib import Path
from serving.store.cloud_objects import Bucket, CloudObjects
endpoint, folder = sys.argv[1], Path(sys.argv[2])
objects = CloudObjects(Bucket("s3://images/big", endpoint=endpoint), folder, max_cache_bytes=0)
class Stream:
    left = 96
    def read(self, n_bytes):
        self.left -= 1
        return bytes([self.left % 251]) * n_bytes if self.left >= 0 else b""
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
before = peak()
item = objects.put(Stream())
n_bytes = sum(len(chunk) for chunk in objects.get(item.sha256))
print(n_bytes, peak() - before)
"""


def test_a_long_object_goes_both_ways_in_little_memory(server: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _BIG, server, str(tmp_path)], capture_output=True, text=True, check=True
    )
    n_bytes, more_mib = map(int, done.stdout.split())
    assert n_bytes == 96 * MEBIBYTE
    assert more_mib < 72, more_mib
