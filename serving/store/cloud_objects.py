"""Objects in a bucket: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.

A bucket shows an object only when it is whole: a long one is sent in parts that become an object by the last
request, so a sender that ends in between leaves nothing that anyone sees. Reading goes by ranges, so that no
request is long and a cut connection costs one range. What passes is tried again with growing pauses; what
does not (a wrong key, a bucket that is not there) is said at once.

A decoder reads files, so what is scored or shown is kept in a folder of this machine for a while, of bounded
size; that folder may be emptied at any time.

The keys come from the environment or the machine's role, as the provider's own tools take them. No error or
log line carries one: addresses are shown without their query.
"""

import logging
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from serving.errors import Problem, ServiceError
from serving.store.local_objects import LocalObjects
from serving.store.objects import (
    ASIDE,
    KeptObject,
    ObjectStore,
    StoredObject,
    check_name,
    chunks_of,
    gone,
    hash_file,
    is_name,
    note_down,
    verified,
)
from serving.store.times import to_us

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

log = logging.getLogger(__name__)

# S3 takes at most 10,000 parts, and none but the last below 5 MiB: this goes up to 78 GiB. Memory is
# _PART_BYTES * (_PARTS_AT_ONCE + 1) for an upload.
_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2
_RANGE_BYTES = 4 * 1024 * 1024

# A range whose connection is cut in its middle is asked for again; the library does so up to its first byte.
_RANGE_ATTEMPTS = 4

# A probe, and a removal, must not hang: nobody is hurt if they fail.
_PROBE_S = 5.0

# A study is read file by file while it is scored; what was given out so recently is not pushed out.
_IN_USE_S = 900.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where a bucket is and how it is spoken to.

    `url` is ``s3://bucket/prefix``, ``gs://...`` or ``az://...``; `endpoint` is that of a store that only
    speaks like S3. `encryption` is S3's: ``AES256``, ``aws:kms``, ``aws:kms:dsse``, or empty for the bucket's
    default.
    """

    url: str
    endpoint: str = ""
    encryption: str = ""
    kms_key: str = ""
    request_s: float = 60.0
    retry_s: float = 180.0
    max_retries: int = 8


class CloudObjects(ObjectStore):
    """Objects in a bucket, and a folder of those that were read last.

    Parameters
    ----------
    bucket : Bucket
        Where they are.
    cache : Path
        A folder of this machine, made if it does not exist.
    max_cache_bytes : int
        How much of it is kept; what is in use may exceed it for a while.

    Raises
    ------
    ValueError
        If the address or an option is not one that the provider knows.
    """

    def __init__(self, bucket: Bucket, cache: Path, *, max_cache_bytes: int) -> None:
        self._url = bucket.url
        self._store = _connect(bucket)
        self._hasty = _connect(
            Bucket(bucket.url, bucket.endpoint, bucket.encryption, bucket.kms_key, _PROBE_S, _PROBE_S, 0)
        )
        self._cache = LocalObjects(cache, is_durable=False)
        self._max_cache_bytes = max_cache_bytes
        self._tidying = threading.Lock()

    @property
    def place(self) -> str:
        """The bucket's address."""
        return self._url

    def put(self, stream: BinaryIO) -> StoredObject:
        """Store what `stream` gives: it must be known whole before it has a name, so it lies here first."""
        with tempfile.NamedTemporaryFile(dir=self._cache.folder, prefix=".writing-") as file:
            for chunk in chunks_of(stream):
                file.write(chunk)
            file.flush()
            path = Path(file.name)
            return self._upload(path, hash_file(path))

    def get(self, sha256: str) -> Iterator[bytes]:
        """Give an object's bytes by ranges; raises at the end if they are not those that were stored."""
        kept = self.head(sha256)
        if kept is None and self.set_aside(sha256, back=True):  # someone asks for it: set aside by mistake
            kept = self.head(sha256)
        if kept is None:
            raise gone(sha256)
        return verified(self._ranges(sha256, kept.n_bytes), sha256)

    def head(self, sha256: str, *, aside: bool = False) -> KeptObject | None:
        """Give an object's size and age, None if it is not there."""
        with self._saying_why():
            try:
                meta = obstore.head(self._store, _key(sha256, aside=aside))
            except FileNotFoundError:
                return None
        return KeptObject(sha256, meta["size"], to_us(meta["last_modified"]))

    def each(self, *, aside: bool = False) -> Iterator[KeptObject]:
        """Give every object, a page of the listing at a time."""
        with self._saying_why():
            for page in obstore.list(self._store, ASIDE if aside else None, chunk_size=1000):
                for meta in page:
                    *folder, name = meta["path"].split("/")
                    if is_name(name) and folder == ([ASIDE] if aside else [name[:2]]):
                        yield KeptObject(name, meta["size"], to_us(meta["last_modified"]))

    def remove(self, sha256: str, *, aside: bool = False) -> None:
        """Remove an object that nobody refers to; one that is not there is no error."""
        with self._saying_why():
            self._delete(_key(sha256, aside=aside))
        if not aside:
            self._cache.remove(sha256)

    def set_aside(self, sha256: str, *, back: bool = False) -> bool:
        """Hide an object, or bring it `back`: the copy is whole before the original goes."""
        source, target = _key(sha256, aside=back), _key(sha256, aside=not back)
        with self._saying_why():
            try:
                # Within a transaction, so it must not take long; an object that someone asks for may.
                obstore.copy(self._store if back else self._hasty, source, target)
            except FileNotFoundError:
                return False
            self._delete(source)
        return True

    def take(self, files: Iterable[Path], *, note: Path | None = None) -> dict[Path, StoredObject]:
        """Put files of this machine; they stay where they are, and are at hand for the scoring that follows.

        What is there already is put again: the same bytes under the same name, but young again, and whole if
        they were damaged.
        """
        stored: dict[Path, StoredObject] = {}
        for file in files:
            item = hash_file(file)
            note_down(note, item.sha256)
            stored[file] = self._upload(file, item)
            with file.open("rb") as stream:
                self._cache.put(stream)
        self._tidy_cache()
        return stored

    def checked(self, sha256: str) -> Path:
        """Give a file of the cache whose bytes are what the name says, brought there if need be."""
        check_name(sha256)
        try:
            path = self._cache.checked(sha256)
        except ServiceError:  # not there, or damaged on this disk: the bucket has it
            self._cache.remove(sha256)
            with tempfile.NamedTemporaryFile(dir=self._cache.folder, prefix=".writing-") as file:
                for chunk in self.get(sha256):
                    file.write(chunk)
                file.seek(0)
                self._cache.put(cast("BinaryIO", file))
            self._tidy_cache()
            path = self._cache.checked(sha256)
        return path

    def check_writable(self) -> int:
        """Write a small object and remove it; gives the time that the bucket's clock shows."""
        with self._saying_why():
            obstore.put(self._hasty, "probe", b"firstread", use_multipart=False)
            return to_us(obstore.head(self._hasty, "probe")["last_modified"])

    def clear_unfinished(self, *, before_us: int) -> int:
        """Clear the cache; parts that never became an object are for a rule of the bucket to remove."""
        return self._cache.clear_unfinished(before_us=before_us)

    def _upload(self, file: Path, item: StoredObject) -> StoredObject:
        was_there = self.head(item.sha256) is not None
        with self._saying_why():
            obstore.put(
                self._store,
                _key(item.sha256),
                file,
                use_multipart=item.n_bytes > _PART_BYTES,
                chunk_size=_PART_BYTES,
                max_concurrency=_PARTS_AT_ONCE,
            )
        return StoredObject(item.sha256, item.n_bytes, was_there)

    def _ranges(self, sha256: str, n_bytes: int) -> Iterator[bytes]:
        for start in range(0, n_bytes, _RANGE_BYTES):
            with self._saying_why():
                chunk = self._range(sha256, start, min(start + _RANGE_BYTES, n_bytes))
            yield chunk

    def _range(self, sha256: str, start: int, end: int) -> bytes:
        for attempt in range(1, _RANGE_ATTEMPTS + 1):
            try:
                return bytes(obstore.get_range(self._store, _key(sha256), start=start, end=end))
            except FileNotFoundError as error:
                raise gone(sha256) from error
            except (UnauthenticatedError, PermissionDeniedError):
                raise
            except BaseError:
                if attempt == _RANGE_ATTEMPTS:
                    raise
                time.sleep(0.1 * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def _delete(self, key: str) -> None:
        # Without further attempts: one whose answer was lost could reach the bucket after a later put.
        try:
            obstore.delete(self._hasty, key)
        except FileNotFoundError:
            return

    def _tidy_cache(self) -> None:
        """Push out what was not read for longest, down to nine tenths of what may be kept."""
        if not self._tidying.acquire(blocking=False):
            return
        try:
            kept = sorted(self._cache.each(), key=lambda one: one.put_at_us)
            n_bytes = sum(one.n_bytes for one in kept)
            if n_bytes <= self._max_cache_bytes:
                return
            in_use_since_us = time.time_ns() // 1000 - int(_IN_USE_S * 1e6)
            for one in kept:
                if n_bytes <= 0.9 * self._max_cache_bytes or one.put_at_us > in_use_since_us:
                    break
                self._cache.remove(one.sha256)
                n_bytes -= one.n_bytes
        finally:
            self._tidying.release()

    @contextmanager
    def _saying_why(self) -> Iterator[None]:
        try:
            yield
        except (UnauthenticatedError, PermissionDeniedError) as error:
            raise self._unavailable(error, "refuses the keys it was given") from error
        except FileNotFoundError as error:
            raise self._unavailable(error, "does not exist") from error
        except (BaseError, OSError) as error:
            raise self._unavailable(error, "does not answer as it should") from error

    def _unavailable(self, error: Exception, what: str) -> ServiceError:
        log.error("%s %s: %s", self._url, what, without_secrets(str(error)))
        return ServiceError(
            Problem.STORAGE_UNAVAILABLE,
            f"The object store {self._url} {what}: try again in a minute; the log says more.",
        )


def without_secrets(text: str) -> str:
    """Give an error's first line without the queries of its addresses, which may be signed.

    Examples
    --------
    >>> without_secrets("PUT https://a.example/b?sig=SECRET failed")
    'PUT https://a.example/b?... failed'
    """
    first = text.strip().splitlines()[0] if text.strip() else "no reason given"
    return re.sub(r"\?\S+", "?...", first)[:500]


def _key(sha256: str, *, aside: bool = False) -> str:
    check_name(sha256)
    return f"{ASIDE}/{sha256}" if aside else f"{sha256[:2]}/{sha256}"


def _connect(bucket: Bucket) -> "obstore.store.ObjectStore":
    client: ClientConfig = {
        "timeout": timedelta(seconds=bucket.request_s),
        "connect_timeout": timedelta(seconds=min(5.0, bucket.request_s)),
        "user_agent": "firstread",
    }
    if bucket.endpoint.startswith("http://"):
        client["allow_http"] = True
    retry: RetryConfig = {
        "max_retries": bucket.max_retries,
        "retry_timeout": timedelta(seconds=bucket.retry_s),
        "backoff": {
            "init_backoff": timedelta(milliseconds=100),
            "max_backoff": timedelta(seconds=15),
            "base": 2,
        },
    }
    options: dict[str, str] = {}
    if bucket.endpoint:
        options["endpoint"] = bucket.endpoint
    if bucket.encryption:
        options["server_side_encryption"] = bucket.encryption
    if bucket.kms_key:
        options["sse_kms_key_id"] = bucket.kms_key
    try:
        return from_url(bucket.url, client_options=client, retry_config=retry, **options)  # type: ignore[call-overload, no-any-return]
    except BaseError as error:
        raise ValueError(without_secrets(str(error))) from error
