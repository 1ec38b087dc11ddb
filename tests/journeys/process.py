"""Runs `firstread` as an operator does: a process of its own, on a free port."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# Far above what is needed, for machines that do much else; nothing is timed here but the stop.
PATIENCE_S = 90.0


@dataclass
class Program:
    process: subprocess.Popen[str]
    address: str
    log: Path

    def get(self, path: str) -> Any:  # noqa: ANN401 - whatever JSON says
        with urllib.request.urlopen(f"{self.address.rstrip('/')}{path}", timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def fetch(self, path: str) -> tuple[int, Any]:
        """Give the status and, unless it is a picture, what JSON says."""
        try:
            with urllib.request.urlopen(f"{self.address.rstrip('/')}{path}", timeout=PATIENCE_S) as answer:
                body = answer.read()
                return answer.status, json.loads(body) if "json" in answer.headers["Content-Type"] else body
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def post(self, *files: tuple[str, bytes], **fields: str) -> tuple[int, Any]:
        boundary = "a-boundary-that-no-file-holds"
        parts = [
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            for name, value in fields.items()
        ]
        for name, content in files:
            head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
            parts += [head.encode(), content, b"\r\n"]
        request = urllib.request.Request(
            f"{self.address}api/v1/studies",
            data=b"".join([*parts, f"--{boundary}--\r\n".encode()]),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def wait_until_scored(self, n_studies: int) -> list[dict[str, Any]]:
        """Give the worklist once none of its studies waits for a score any more."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            entries: list[dict[str, Any]] = self.get("/api/v1/worklist?limit=200")["entries"]
            if len(entries) >= n_studies and not {"received", "scoring"} & {one["state"] for one in entries}:
                return entries
            time.sleep(0.1)
        raise TimeoutError(self.log.read_text(encoding="utf-8"))


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from serving.cli import main; main()", *arguments]


def environment(home: Path | None, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FIRSTREAD_")}
    return kept | ({} if home is None else {"FIRSTREAD_HOME": str(home)}) | more


@contextmanager
def started(verb: str, *arguments: str, home: Path | None, log: Path, **more: str) -> Iterator[Program]:
    if verb == "serve":  # with sign-in by itself; most journeys are about other things
        has_sign_in = "--sign-in" in arguments
        arguments = tuple(one for one in arguments if one != "--sign-in")
        arguments = arguments if has_sign_in else ("--without-sign-in", *arguments)
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command(verb, "--port", "0", *arguments),
            cwd=ROOT,
            env=environment(home, **more),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        yield Program(process, _address(process, log), log)
    finally:
        process.terminate()  # in good order, so that its temporary folders go
        try:
            process.wait(PATIENCE_S)
        finally:
            process.kill()
            process.wait()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"listens on (https?://\S+)", log.read_text(encoding="utf-8"))
        if found:
            return found.group(1)
        time.sleep(0.05)
    raise TimeoutError(log.read_text(encoding="utf-8"))
