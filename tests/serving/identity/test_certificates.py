"""How a certificate is known again."""

from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes

from serving.identity.certificates import plain_fingerprint, plain_subject, read_certificate
from tests.serving.identity.authority import Authority


def test_a_certificate_is_read_as_each_proxy_writes_it() -> None:
    issued = Authority().issue("入口 A")
    pem = issued.certificate_pem.decode()
    expected = issued.certificate.fingerprint(hashes.SHA256()).hex()
    for written in (
        quote(pem, safe=""),  # nginx, $ssl_client_escaped_cert
        pem.replace("\n", " ").strip(),  # Apache, %{SSL_CLIENT_CERT}s
        pem.replace("\n", "\t"),
        pem,
    ):
        shown = read_certificate(written)
        assert (shown.fingerprint, shown.subject) == (expected, "CN=入口 A,O=Hospital")


def test_a_subject_is_the_same_however_a_proxy_escapes_it() -> None:
    """nginx writes bytes beyond ASCII by their hexadecimal digits."""
    escaped = "CN=" + "".join(f"\\{byte:02X}" for byte in "入口".encode()) + " A,O=Hospital"
    assert plain_subject(escaped) == plain_subject("CN=入口 A, O=Hospital") == "CN=入口 A,O=Hospital"


@pytest.mark.parametrize("text", ["", "x", "-----BEGIN CERTIFICATE-----", "%ff%00"])
def test_what_is_no_certificate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_certificate(text)


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "ab" * 20])
def test_what_is_no_sha_256_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        plain_fingerprint(text)


@pytest.mark.parametrize("text", ["", "/C=CN/O=Hospital/CN=a", "gateway"])
def test_what_is_no_subject_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        plain_subject(text)
