"""A device of a site sends by its certificate, to the service's own TLS: no proxy, no secret in a file."""

import ssl
import subprocess
from pathlib import Path

import httpx2

from tests.journeys.process import PATIENCE_S, ROOT, command, environment, started
from tests.serving.identity.authority import Authority
from tests.serving.service_in_process import photograph
from tests.tiny_model import write_tiny_artifact


def _admin(home: Path, *arguments: str) -> str:
    done = subprocess.run(
        command("admin", *arguments),
        cwd=ROOT,
        env=environment(home),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _client(address: str, root: Path, shown: tuple[Path, Path] | None) -> httpx2.Client:
    context = ssl.create_default_context(cafile=root)
    if shown is not None:
        context.load_cert_chain(*shown)
    return httpx2.Client(base_url=address, verify=context, trust_env=False, timeout=PATIENCE_S)


def test_a_device_sends_by_its_certificate(tmp_path: Path) -> None:
    write_tiny_artifact(tmp_path / "models", name="derm-lesion", classes=("nv", "mel"))
    authority, home = Authority(), tmp_path / "home"
    certificate, key = authority.issue("firstread").write(tmp_path, "server")
    root, _ = authority.root.write(tmp_path, "root")
    device = authority.issue("gateway").write(tmp_path, "gateway")
    tls = {
        "FIRSTREAD_TLS_CERTIFICATE": str(certificate),
        "FIRSTREAD_TLS_KEY": str(key),
        "FIRSTREAD_TLS_CLIENT_CA": str(root),
        "FIRSTREAD_TLS_CLIENT_CERTIFICATES": "optional",
    }
    arguments = ("--sign-in", "--models", str(tmp_path / "models"))
    with started("serve", *arguments, home=home, log=tmp_path / "log", **tls) as program:
        assert program.address.startswith("https://")
        _admin(home, "tokens", "create", "gateway", "--site", "local", "--scope", "upload")
        token = _admin(home, "tokens", "list").split()[0]
        files = {"files": ("mole.jpg", photograph(200))}
        with _client(program.address, root, device) as client:
            assert client.post("/api/v1/studies", files=files).status_code == 401
            _admin(home, "certificates", "add", "--subject", "CN=gateway,O=Hospital", "--token", token)
            sent = client.post("/api/v1/studies", files=files)
            assert sent.status_code == 201
            assert sent.headers["Strict-Transport-Security"]
            assert client.get("/api/v1/worklist").status_code == 403  # the token is good for sending alone
            certificates = _admin(home, "certificates", "list")
            assert "subject CN=gateway,O=Hospital" in certificates
            _admin(home, "certificates", "remove", certificates.split()[0])
            assert client.post("/api/v1/studies", files=files).status_code == 401
        with _client(program.address, root, None) as client:
            assert client.get("/healthz").status_code == 200
            assert client.post("/api/v1/studies", files=files).status_code == 401
