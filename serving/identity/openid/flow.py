"""The way of one sign-in: a browser is sent to the provider, comes back with a code, and is known.

What is remembered in between lies in the database under the hash of the state, for ten minutes, and is
taken out before anything else is done: a state counts once, in any process. A cookie ties it to the browser
that began, so that nobody can sign another person in as themselves.
"""

import hashlib
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from serving.identity.openid.claims import ProvidedPerson, person_of
from serving.identity.openid.id_token import verified_claims
from serving.identity.openid.provider import Provider
from serving.identity.openid.terms import SECONDS_TO_SIGN_IN, Fault, OpenIdError
from serving.store.pending_sign_ins import PendingSignIn

# A path of ours: one slash, then no second and no backslash, which browsers take for one.
_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")
_MOST_OF_A_PATH = 500


class PendingSignIns(Protocol):
    """Remembers what was begun."""

    def put(self, pending: PendingSignIn) -> None:
        """Remember."""

    def take(self, state_sha256: str) -> PendingSignIn | None:
        """Give and forget, None if it is not known."""


@dataclass(frozen=True, slots=True)
class Begun:
    """Where the browser is sent, and the cookie that it keeps."""

    address: str
    cookie: str


class OpenIdFlow:
    """Begins and finishes sign-ins by a provider.

    Parameters
    ----------
    provider : Provider
        Whom to ask.
    pending : PendingSignIns
        Remembers what was begun.
    clock : callable
        Gives the time in microseconds since 1970 UTC.
    """

    def __init__(self, provider: Provider, pending: PendingSignIns, *, clock: Callable[[], int]) -> None:
        self.provider = provider
        self._pending = pending
        self._clock = clock

    def begin(self, return_path: str | None) -> Begun:
        """Begin a sign-in that leads back to a path of ours."""
        state, cookie, nonce, verifier = (secrets.token_urlsafe(48) for _ in range(4))
        address = self.provider.sign_in_address(state=state, nonce=nonce, verifier=verifier)
        self._pending.put(
            PendingSignIn(_hash(state), _hash(cookie), nonce, verifier, safe_path(return_path), self._clock())
        )
        return Begun(address, cookie)

    def finish(self, answer: Mapping[str, str], *, cookie: str | None) -> tuple[ProvidedPerson, str]:
        """Finish a sign-in from what the provider had the browser bring; gives the person and the path.

        Raises
        ------
        OpenIdError
            Whatever is wrong with it; the state is used up all the same.
        """
        began = self._pending.take(_hash(answer.get("state", "")))
        if began is None or not self._is_of_this_browser(began, cookie):
            raise OpenIdError(
                Fault.STATE,
                "this sign-in was not begun in this browser, is used up or took too long: begin anew.",
            )
        self._check_issuer(answer.get("iss"))
        if "error" in answer or not answer.get("code"):
            # the text is the provider's; its code alone is shown
            code = re.sub(r"[^a-z_]", "", answer.get("error", "no_code"))[:40]
            raise OpenIdError(Fault.REFUSED, f"the provider did not sign you in ({code}).")
        tokens = self.provider.exchange(answer["code"], verifier=began.verifier)
        claims = verified_claims(
            tokens, self.provider, nonce=began.nonce, now_s=lambda: self._clock() // 1_000_000
        )
        return person_of(claims, self.provider.terms), began.return_path

    def _is_of_this_browser(self, began: PendingSignIn, cookie: str | None) -> bool:
        oldest_us = self._clock() - SECONDS_TO_SIGN_IN * 1_000_000
        return (
            cookie is not None
            and began.begun_at_us >= oldest_us
            and secrets.compare_digest(_hash(cookie), began.browser_sha256)
        )

    def _check_issuer(self, said: str | None) -> None:
        """Refuse an answer of another issuer than the one that was asked (RFC 9207)."""
        metadata = self.provider.metadata()
        must_say = metadata.authorization_response_iss_parameter_supported
        if (said is None and must_say) or (said is not None and said != metadata.issuer):
            raise OpenIdError(
                Fault.ISSUER, "the answer is not of the provider that was asked: sign in again."
            )


def safe_path(path: str | None) -> str:
    r"""Give a path of our own pages, the first page for anything else.

    Examples
    --------
    >>> safe_path("/studies/1?lang=zh"), safe_path("//evil.example/"), safe_path("https://evil.example")
    ('/studies/1?lang=zh', '/', '/')
    >>> safe_path("/\\evil.example"), safe_path("/a\nb"), safe_path(None)
    ('/', '/', '/')
    """
    if path is None or len(path) > _MOST_OF_A_PATH or _PATH.fullmatch(path) is None:
        return "/"
    return path


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
