"""Checks an ID token: signature, issuer, audience, time, nonce, and that it goes with the access token.

References
----------
OpenID Connect Core 1.0, 3.1.3.7; RFC 8725 (best practices for JSON Web Tokens), 3.1: the algorithm is ours
to choose, never the token's.
"""

from collections.abc import Callable, Mapping
from typing import Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import BadSignatureError, ClaimError, InvalidKeyIdError, JoseError
from joserfc.jws import JWSRegistry
from joserfc.jwt import Token

from serving.identity.openid.provider import Provider, Tokens
from serving.identity.openid.terms import Fault, OpenIdError

# Signatures by a key pair alone: with a shared secret (HS256), whoever knows the client's secret or takes a
# public key for one could sign; "none" is no signature.
ALGORITHMS: Final = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)

# How far two clocks may be apart.
_LEEWAY_S = 60


def verified_claims(
    tokens: Tokens, provider: Provider, *, nonce: str, now_s: Callable[[], int]
) -> Mapping[str, object]:
    """Give what an ID token says, once everything about it is proven.

    Raises
    ------
    OpenIdError
        `ID_TOKEN`, with the claim that is wrong.
    """
    terms = provider.terms
    token = _decoded(tokens.id_token, provider)
    claims = CodeIDToken(
        token.claims,
        token.header,
        {
            "iss": {"essential": True, "value": terms.issuer},
            "aud": {"essential": True, "value": terms.client_id},
            "nonce": {"essential": True, "value": nonce},
        },
        {"nonce": nonce, "client_id": terms.client_id, "access_token": tokens.access_token},
    )
    try:
        claims.validate(now_s(), _LEEWAY_S)
    except JoseError as error:
        raise _invalid(error) from error
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:  # Core 1.0, 2: at most 255 characters
        raise OpenIdError(Fault.ID_TOKEN, "the ID token names nobody (sub).")
    return dict(claims)


def _decoded(text: str, provider: Provider) -> Token:
    offered = provider.metadata().id_token_signing_alg_values_supported
    allowed = ALGORITHMS & set(offered) if offered else ALGORITHMS
    if not allowed:  # an empty list would mean the library's own choice
        raise OpenIdError(
            Fault.MISCONFIGURED, f"the provider signs by {', '.join(offered)} alone, none of which is taken."
        )
    registry = JWSRegistry(algorithms=sorted(allowed), strict_check_header=False)
    try:
        try:
            return jwt.decode(text, provider.keys(), registry=registry)
        except (InvalidKeyIdError, BadSignatureError):  # the keys may have been changed since
            return jwt.decode(text, provider.keys(fresh=True), registry=registry)
    except (JoseError, ValueError) as error:
        raise _invalid(error) from error


def _invalid(error: Exception) -> OpenIdError:
    # the library's messages name the claim or the algorithm, never the token
    what = f"{error.claim}: {error}" if isinstance(error, ClaimError) else str(error)
    return OpenIdError(Fault.ID_TOKEN, f"the ID token is not valid ({what}): sign in again.")
