"""Sends studies to a running service as any client does: over HTTP; or has them taken at once."""

import http.client
import json
import secrets
from collections.abc import Iterator
from urllib.parse import urlsplit

from serving.errors import ServiceError
from serving.hosting.samples import Sample
from serving.intake.context import read_context
from serving.intake.service import Intake
from serving.store.audit_chain import ActorKind, Who
from serving.store.sites import LOCAL_SITE

_SECONDS_TO_ANSWER = 120.0

_DEMO = Who(ActorKind.SERVICE, "demo")


def send(address: str, sample: Sample) -> int:
    """Send one study and give the number of studies it made.

    Raises
    ------
    OSError
        If the service cannot be reached or refuses the study.
    """
    parts = urlsplit(address)
    assert parts.hostname is not None
    boundary = secrets.token_hex(16)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_SECONDS_TO_ANSWER)
    try:
        connection.request(
            "POST",
            "/api/v1/studies",
            body=_body(sample, boundary),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
            encode_chunked=True,
        )
        answer = connection.getresponse()
        document = json.loads(answer.read())
        if answer.status not in {http.client.CREATED, http.client.OK}:
            raise OSError(f"{sample.files[0]} was refused: {document['detail']}")
        return len(document["studies"])
    except http.client.HTTPException as error:
        raise OSError(f"the service did not answer ({error!r})") from error
    finally:
        connection.close()


def put(intake: Intake, sample: Sample) -> int:
    """Have one study taken without a request, as nobody has an account yet that could send it.

    Raises
    ------
    OSError
        If the study is refused.
    """
    boundary = secrets.token_hex(16)
    try:
        upload = intake.begin(content_type=f"multipart/form-data; boundary={boundary}", declared_bytes=None)
        try:
            for part in _body(sample, boundary):
                upload.feed(part)
            upload.finish()
            outcome = intake.take(upload, read_context(upload.fields), site=LOCAL_SITE, who=_DEMO)
        finally:
            upload.close()
    except ServiceError as error:
        raise OSError(f"{sample.files[0]} was refused: {error.detail}") from error
    return len(outcome.studies)


def _body(sample: Sample, boundary: str) -> Iterator[bytes]:
    for name, value in sample.fields.items():
        yield f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
    for file in sample.files:
        yield (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{file.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        yield file.read_bytes()
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()
