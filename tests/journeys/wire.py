"""Speaks to a server byte by byte, as no well-behaved client does."""

import re
import socket
from contextlib import suppress

_PATIENCE_S = 60.0
_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


def connected(port: int) -> socket.socket:
    """Open a connection; who opens it closes it."""
    return socket.create_connection(("127.0.0.1", port), timeout=_PATIENCE_S)


def exchange(port: int, request: bytes) -> tuple[int, bytes]:
    """Send bytes and give the status and body of the answer; 0 if the server hung up without one."""
    with connected(port) as line, suppress(ConnectionError):
        line.sendall(request)
        return answer_of(line)
    return 0, b""


def answer_of(line: socket.socket) -> tuple[int, bytes]:
    """Read one answer."""
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if end and length is not None and len(body) >= int(length[1]):
            break
        chunk = line.recv(65536)
        if not chunk:
            break
        received += chunk
    status = _STATUS.match(received)
    return (0 if status is None else int(status[1])), received.partition(b"\r\n\r\n")[2]


def get(path: str, *headers: str, method: str = "GET") -> bytes:
    """Write a request without a body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "Connection: close", "", ""]
    return "\r\n".join(lines).encode("latin-1")


def upload_head(n_bytes: int, *headers: str) -> bytes:
    """Write the head of an upload whose parts are divided by ``b``."""
    lines = [
        "POST /api/v1/studies HTTP/1.1",
        "Host: localhost",
        "Content-Type: multipart/form-data; boundary=b",
        f"Content-Length: {n_bytes}",
        *headers,
        "Connection: close",
        "",
        "",
    ]
    return "\r\n".join(lines).encode("latin-1")


def part(disposition: bytes, content: bytes) -> bytes:
    """Write one part of an upload."""
    return b"--b\r\nContent-Disposition: form-data; " + disposition + b"\r\n\r\n" + content + b"\r\n"


END = b"--b--\r\n"
