"""TLS without a proxy: the service's own certificate, and whether clients must show one of theirs."""

import ssl
from collections.abc import Callable

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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise StartError(
            f"FIRSTREAD_TLS_CERTIFICATE {settings.tls_certificate} and _KEY {settings.tls_key}: {error}."
        ) from error
    context.verify_mode = _VERIFYING[settings.tls_client_certificates]
    if settings.tls_client_ca is not None:
        try:
            context.load_verify_locations(settings.tls_client_ca)
        except (OSError, ssl.SSLError) as error:
            raise StartError(f"FIRSTREAD_TLS_CLIENT_CA {settings.tls_client_ca}: {error}.") from error
    return lambda: context
