"""TLS by the server itself, with real handshakes: whose certificate a client has reaches the application."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import uvicorn
from fastapi import FastAPI, Request

from serving.errors import StartError
from serving.forwarding import Forwarding
from serving.hosting.peer_certificate import CertifiedProtocol
from serving.hosting.tls import tls_of
from serving.identity.certificates import read_certificate
from serving.identity.proxies import TrustedProxies
from serving.settings import Settings
from tests.serving.identity.authority import Authority


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


def _settings(folder: Path, authority: Authority, **given: object) -> Settings:
    certificate, key = authority.issue("firstread").write(folder, "server")
    root, _ = authority.root.write(folder, "root")
    files = {"tls_certificate": certificate, "tls_key": key, "tls_client_ca": root}
    return Settings.model_validate({"home": folder, **files, **given})


def _echo(proxies: str = "") -> FastAPI:
    app = FastAPI()

    @app.get("/")
    def echo(request: Request) -> dict[str, object]:
        shown = request.scope.get("extensions", {}).get("tls", {}).get("client_cert_chain", [])
        subject = read_certificate(shown[0]).subject if shown else None
        client = request.client.host if request.client else None
        return {"subject": subject, "client": client, "scheme": request.url.scheme}

    app.add_middleware(Forwarding, proxies=TrustedProxies.parse(proxies))
    return app


@contextmanager
def _served(app: FastAPI, tls: Callable[[], ssl.SSLContext] | None) -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        http=CertifiedProtocol,
        ssl_context_factory=None if tls is None else lambda _config, _default: tls(),
        proxy_headers=False,
        log_config=None,
        lifespan="off",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{listener.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def _client(root: Path, certificate: tuple[Path, Path] | None = None) -> httpx2.Client:
    context = ssl.create_default_context(cafile=root)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return httpx2.Client(verify=context, trust_env=False)


def test_the_application_sees_whose_certificate_a_client_has(tmp_path: Path, authority: Authority) -> None:
    settings = _settings(tmp_path, authority, tls_client_certificates="optional")
    with _served(_echo(), tls_of(settings)) as address:
        with _client(tmp_path / "root.pem", authority.issue("gateway").write(tmp_path, "gateway")) as client:
            seen = [client.get(address).json() for _ in range(2)]
        with _client(tmp_path / "root.pem") as client:
            nobody = client.get(address).json()
    assert [one["subject"] for one in seen] == ["CN=gateway,O=Hospital"] * 2
    assert nobody["subject"] is None
    assert nobody["scheme"] == "https"


def test_a_certificate_of_another_authority_ends_the_handshake(tmp_path: Path, authority: Authority) -> None:
    settings = _settings(tmp_path, authority, tls_client_certificates="optional")
    foreign = Authority().issue("gateway").write(tmp_path, "foreign")
    with (
        _served(_echo(), tls_of(settings)) as address,
        _client(tmp_path / "root.pem", foreign) as client,
        pytest.raises(httpx2.TransportError),
    ):
        client.get(address)


def test_where_certificates_are_required_nobody_comes_without(tmp_path: Path, authority: Authority) -> None:
    settings = _settings(tmp_path, authority, tls_client_certificates="required")
    with (
        _served(_echo(), tls_of(settings)) as address,
        _client(tmp_path / "root.pem") as client,
        pytest.raises(httpx2.TransportError),
    ):
        client.get(address)


def test_without_tls_nothing_is_changed() -> None:
    with _served(_echo(), None) as address:
        assert httpx2.get(address, trust_env=False).json() == {
            "subject": None,
            "client": "127.0.0.1",
            "scheme": "http",
        }


def test_a_process_of_this_machine_is_no_proxy_unless_it_is_named() -> None:
    headers = {"X-Forwarded-For": "6.6.6.6, 192.0.2.5", "X-Forwarded-Proto": "https"}
    with _served(_echo(), None) as address:
        seen = httpx2.get(address, headers=headers, trust_env=False).json()
    assert (seen["client"], seen["scheme"]) == ("127.0.0.1", "http")
    with _served(_echo("127.0.0.1"), None) as address:
        seen = httpx2.get(address, headers=headers, trust_env=False).json()
    assert (seen["client"], seen["scheme"]) == ("192.0.2.5", "https")


@pytest.mark.parametrize("name", ["tls_certificate", "tls_key", "tls_client_ca"])
def test_a_file_that_is_none_keeps_the_service_from_starting(
    tmp_path: Path, authority: Authority, name: str
) -> None:
    (tmp_path / "none.pem").write_text("none")
    settings = _settings(tmp_path, authority, **{name: tmp_path / "none.pem"})
    with pytest.raises(StartError, match="FIRSTREAD_TLS"):
        tls_of(settings)


def test_without_settings_there_is_no_tls(tmp_path: Path) -> None:
    assert tls_of(Settings(home=tmp_path)) is None
