import hashlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.errors import Problem, ServiceError
from serving.intake.upload import Upload, UploadLimits

LIMITS = UploadLimits(max_bytes=100_000, max_files=5, min_free_bytes=0)


def _open(spool: Path, limits: UploadLimits = LIMITS) -> Upload:
    return Upload(spool, content_type="multipart/form-data; boundary=x", limits=limits)


def _part(head: str, content: bytes) -> bytes:
    return f"--x\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    contents=st.lists(st.binary(max_size=300) | st.just(b"\r\n--x\r\n-\r\n--"), min_size=1, max_size=4),
    n_bytes_at_once=st.integers(1, 500),
)
def test_a_body_is_read_the_same_however_it_is_cut(
    tmp_path: Path, contents: list[bytes], n_bytes_at_once: int
) -> None:
    contents = [content.replace(b"\r\n--x", b"") for content in contents]
    parts = [_part(f'name="files"; filename="{n}.jpg"', content) for n, content in enumerate(contents)]
    body = b"".join([*parts, _part('name="age"', b"61"), b"--x--\r\n"])
    upload = _open(tmp_path)
    try:
        for start in range(0, len(body), n_bytes_at_once):
            upload.feed(body[start : start + n_bytes_at_once])
        upload.finish()
        assert [item.path.read_bytes() for item in upload.files] == contents
        assert [item.sha256 for item in upload.files] == [hashlib.sha256(one).hexdigest() for one in contents]
        assert upload.fields == {"age": "61"}
    finally:
        upload.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("照片.jpg", "照片.jpg"),
        ("../../etc/passwd", "../../etc/passwd"),
        ("a\tb.jpg", "ab.jpg"),
        ("n" * 400, "n" * 255),
    ],
)
def test_a_file_name_is_text_and_never_a_path(tmp_path: Path, sent: str, shown: str) -> None:
    upload = _open(tmp_path)
    upload.feed(_part(f'name="files"; filename="{sent}"', b"x") + b"--x--\r\n")
    upload.finish()
    (item,) = upload.files
    assert item.name == shown
    assert item.path.parent == upload.folder
    upload.close()


def test_a_file_field_that_was_left_empty_is_no_file(tmp_path: Path) -> None:
    upload = _open(tmp_path)
    upload.feed(_part('name="files"; filename=""', b"") + b"--x--\r\n")
    upload.finish()
    assert upload.files == []
    upload.close()


def test_a_field_that_grows_without_end_is_refused(tmp_path: Path) -> None:
    upload = _open(tmp_path)
    with pytest.raises(ServiceError, match="'clinical_question' is longer") as caught:
        upload.feed(_part('name="clinical_question"', bytes(20_000)))
    assert caught.value.problem is Problem.MALFORMED_UPLOAD
    upload.close()


def test_a_declared_size_over_the_limit_is_refused_before_the_body(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="larger than 100,000 bytes"):
        Upload(
            tmp_path,
            content_type="multipart/form-data; boundary=x",
            limits=LIMITS,
            declared_bytes=100_001,
        )
    assert list(tmp_path.iterdir()) == []


def test_the_same_request_has_the_same_fingerprint_and_another_field_another(tmp_path: Path) -> None:
    def fingerprint(*parts: bytes) -> str:
        upload = _open(tmp_path)
        upload.feed(b"".join(parts) + b"--x--\r\n")
        upload.close()
        return upload.fingerprint()

    file, age = _part('name="files"; filename="a.jpg"', b"x"), _part('name="age"', b"1")
    assert fingerprint(file, age) == fingerprint(age, file)
    assert fingerprint(file, age) != fingerprint(file, _part('name="age"', b"2"))
