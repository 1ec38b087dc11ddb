"""What the deployment guide ships and says, held against the programs that it is for."""

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from typer.main import get_command

from serving.cli import app
from serving.settings import Settings
from serving.settings_file import NO_SETTINGS, read_file
from tests.journeys.process import PATIENCE_S, ROOT, started
from tests.serving.service_in_process import photograph
from tests.tiny_model import write_tiny_artifact

DEPLOY = ROOT / "deploy"
GUIDE = ROOT / "docs" / "deployment.md"
NAME = "firstread.example.org"


def test_the_example_file_holds_settings_alone() -> None:
    assert read_file(DEPLOY / "firstread.toml", Settings.model_fields)["home"].value == "/var/lib/firstread"


def test_every_toml_of_the_guide_holds_settings_alone(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        assert read_file(file, Settings.model_fields)


def test_every_variable_that_is_named_is_a_setting() -> None:
    known = {f"FIRSTREAD_{name.upper()}{end}" for name in Settings.model_fields for end in ("", "_FILE")}
    texts = [GUIDE, *(path for path in DEPLOY.rglob("*") if path.is_file())]
    text = "".join(path.read_text(encoding="utf-8") for path in texts)
    named = set(re.findall(r"FIRSTREAD_[A-Z_]*[A-Z]", text))
    assert named - known - NO_SETTINGS == set()


def test_every_command_that_is_named_exists_with_its_options() -> None:
    texts = [GUIDE, *DEPLOY.rglob("*.service")]
    text = "".join(path.read_text(encoding="utf-8") for path in texts).replace("\\\n", " ")
    lines = re.findall(r"(?:/opt/firstread/bin/)?\bfirstread ((?:--config|[a-z]+)[^\n`|>#]*)", text)
    n_commands = 0
    for line in lines:
        words = line.split()
        command = get_command(app)
        options: set[str] = set()
        while words:
            word = words.pop(0)
            if word == "--config" and command.name != "serve" and not options and words:
                words.pop(0)
                continue
            children = getattr(command, "commands", {})
            if word in children:
                command = children[word]
            elif word.startswith("--"):
                options.add(word.split("=")[0])
        if command is get_command(app) or getattr(command, "commands", None):
            continue  # prose that begins with the program's name
        n_commands += 1
        known = {name for parameter in command.params for name in parameter.opts} | {"--help"}
        assert options <= known, line
    assert n_commands >= 8


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
@pytest.mark.parametrize("unit", sorted(path.name for path in (DEPLOY / "systemd").iterdir()))
def test_systemd_takes_the_units(tmp_path: Path, unit: str) -> None:
    for path in (DEPLOY / "systemd").iterdir():
        text = path.read_text(encoding="utf-8").replace(
            "/opt/firstread/bin/firstread", shutil.which("true") or ""
        )
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    ours = [line for line in done.stderr.splitlines() if "firstread" in line]
    assert ours == [], done.stderr
    assert done.returncode == 0, done.stderr


def test_prometheus_asks_for_figures_that_there_are() -> None:
    rules = (DEPLOY / "prometheus" / "alerts.yml").read_text(encoding="utf-8")
    source = "".join(path.read_text("utf-8") for path in (ROOT / "serving").rglob("figures.py"))
    for name in set(re.findall(r"\bfirstread_[a-z_]+", rules)):
        assert name.removesuffix("_total") in source, name


@pytest.mark.skipif(shutil.which("nginx") is None, reason="there is no nginx")
def test_a_hospital_reaches_the_service_through_nginx_by_tls(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path / "models", name="derm-lesion", classes=("nv", "mel"))
    with (
        started(
            "serve",
            "--models",
            str(tmp_path / "models"),
            home=tmp_path / "home",
            log=tmp_path / "log",
            FIRSTREAD_HOST_NAMES=NAME,
            FIRSTREAD_TRUSTED_PROXIES="127.0.0.1",
            FIRSTREAD_LOG_FORMAT="json",
        ) as program,
        proxied(tmp_path, program.address) as (port, certificate),
    ):
        context = ssl.create_default_context(cafile=str(certificate))
        boundary = "a-boundary-that-no-file-holds"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'.encode()
            + photograph(200)
            + f"\r\n--{boundary}--\r\n".encode()
        )
        status, headers, answer = ask(
            port,
            context,
            "POST /api/v1/studies",
            body,
            {"Content-Type": f"multipart/form-data; boundary={boundary}", "X-Forwarded-For": "203.0.113.9"},
        )
        assert status == 201, answer
        assert json.loads(answer)["studies"]
        assert headers["strict-transport-security"].startswith("max-age=")
        assert headers["cache-control"] == "no-store"
        assert ask(port, context, "GET /healthz")[0] == 200
        assert ask(port, context, "GET /metrics")[0] == 404
        assert ask(port, context, "GET /api/v1/worklist", b"", {"Host": "evil.example"})[0] == 421
        lines = [json.loads(line) for line in program.log.read_text("utf-8").splitlines() if line[0] == "{"]
    (sent,) = [line for line in lines if line.get("route") == "/api/v1/studies"]
    assert sent["client"] == "127.0.0.1"  # what the sender claimed of itself is dropped


@contextmanager
def proxied(folder: Path, address: str) -> Iterator[tuple[int, Path]]:
    """Run nginx with the shipped file, on a free port and with a certificate made here."""
    certificate, key = self_made(folder)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        port, plain = one.getsockname()[1], other.getsockname()[1]
    text = (DEPLOY / "nginx" / "firstread.conf").read_text(encoding="utf-8")
    for shipped, here in {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
        "listen 80;": f"listen 127.0.0.1:{plain};",
        "/etc/ssl/firstread/fullchain.pem": str(certificate),
        "/etc/ssl/firstread/key.pem": str(key),
        "http://127.0.0.1:8080": address.rstrip("/"),
    }.items():
        assert shipped in text
        text = text.replace(shipped, here)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    main = folder / "nginx.conf"
    main.write_text(
        f"daemon off;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{temporary}{text}}}\n",
        encoding="utf-8",
    )
    arguments = ["nginx", "-p", str(folder), "-e", str(folder / "nginx.log"), "-c", str(main)]
    checked = subprocess.run([*arguments, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    process = subprocess.Popen(arguments)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        yield port, certificate
    finally:
        process.terminate()
        process.wait(PATIENCE_S)


def ask(
    port: int, context: ssl.SSLContext, what: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    method, path = what.split()
    given = {"Host": NAME, "Connection": "close", "Content-Length": str(len(body))} | (headers or {})
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as plain,
        context.wrap_socket(plain, server_hostname=NAME) as connection,
    ):
        head = f"{method} {path} HTTP/1.1\r\n" + "".join(
            f"{name}: {value}\r\n" for name, value in given.items()
        )
        connection.sendall(head.encode() + b"\r\n" + body)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
    front, _, content = received.partition(b"\r\n\r\n")
    first, *rest = front.decode("latin-1").split("\r\n")
    found = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    if found.get("transfer-encoding") == "chunked":
        content = b"".join(part for part in re.split(rb"\r\n?[0-9a-f]+\r\n|^[0-9a-f]+\r\n", content) if part)
        content = content.rstrip(b"\r\n")
    return int(first.split()[1]), found, content


def self_made(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "cert.pem", folder / "key.pem"
