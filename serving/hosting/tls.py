"""TLS without a proxy: the service's own certificates, and whether clients must show one of theirs."""

import ssl
from collections.abc import Callable
from pathlib import Path

from serving.errors import StartError
from serving.settings import Settings

_VERIFYING = {"off": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


def tls_of(settings: Settings) -> Callable[[], ssl.SSLContext] | None:
    """Give what makes the context that `settings` ask for, None if they ask for none.

    A client's certificate that is not of the named authorities ends the handshake.

    Raises
    ------
    StartError
        If a file cannot be read or holds something else.
    """
    if settings.tls_certificate is None:
        return None
    context = server_context(settings.tls_client_certificates)
    load_files(
        context,
        "FIRSTREAD_TLS",
        certificate=settings.tls_certificate,
        key=settings.tls_key,
        client_ca=settings.tls_client_ca,
    )
    return lambda: context


def server_context(client_certificates: str) -> ssl.SSLContext:
    """Make the context in which clients call, whose certificates are "off", "optional" or "required"."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = _VERIFYING[client_certificates]
    return context


def load_files(
    context: ssl.SSLContext,
    names: str,
    *,
    certificate: Path | None,
    key: Path | None,
    client_ca: Path | None,
) -> None:
    """Load one's own certificate and the authorities of others, as far as they are named.

    Parameters
    ----------
    context : SSLContext
        Gets them.
    names : str
        What the names of the settings begin with.
    certificate, key, client_ca : Path or None
        The files.

    Raises
    ------
    StartError
        If a file cannot be read or holds something else.
    """
    if certificate is not None:
        try:
            context.load_cert_chain(certificate, key)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"{names}_CERTIFICATE {certificate} and _KEY {key}: {error}.") from error
    if client_ca is not None:
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"{names}_CLIENT_CA {client_ca}: {error}.") from error
