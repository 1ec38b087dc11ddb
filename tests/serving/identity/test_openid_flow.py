"""Sign-in by a provider, against one that runs beside the test."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from serving.identity.openid.claims import ProvidedPerson
from serving.identity.openid.flow import Begun, OpenIdFlow
from serving.identity.openid.provider import Provider
from serving.identity.openid.terms import (
    SECONDS_TO_SIGN_IN,
    ClaimNames,
    Fault,
    OpenIdError,
    OpenIdTerms,
)
from serving.store.pending_sign_ins import PendingSignIn
from tests.serving.identity.openid_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    OpenIdProvider,
    browse,
    ec_key,
    openid_provider,
    rsa_key,
)

CALLBACK = "http://127.0.0.1:8080/sign-in/openid/callback"


class RememberedInMemory:
    """Remembers what was begun, for one process."""

    def __init__(self) -> None:
        self.begun: dict[str, PendingSignIn] = {}

    def put(self, pending: PendingSignIn) -> None:
        self.begun[pending.state_sha256] = pending

    def take(self, state_sha256: str) -> PendingSignIn | None:
        return self.begun.pop(state_sha256, None)


class Clock:
    def __init__(self) -> None:
        self.ahead_s = 0.0

    def us(self) -> int:
        return time.time_ns() // 1000 + int(self.ahead_s * 1_000_000)

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead_s


@pytest.fixture
def provider() -> Iterator[OpenIdProvider]:
    with openid_provider(CALLBACK) as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()


def terms_of(provider: OpenIdProvider) -> OpenIdTerms:
    return OpenIdTerms(
        provider.issuer,
        CLIENT_ID,
        CLIENT_SECRET,
        CALLBACK,
        claims=ClaimNames(roles="groups"),
        roles={"radiology": "reader"},
    )


@pytest.fixture
def flow(provider: OpenIdProvider, clock: Clock) -> OpenIdFlow:
    return OpenIdFlow(
        Provider(terms_of(provider), clock=clock.monotonic), RememberedInMemory(), clock=clock.us
    )


def finish(flow: OpenIdFlow, begun: Begun, answer: dict[str, str] | None = None) -> ProvidedPerson:
    person, _ = flow.finish(browse(begun.address) if answer is None else answer, cookie=begun.cookie)
    return person


def fault_of(act: Callable[[], object]) -> Fault:
    with pytest.raises(OpenIdError) as caught:
        act()
    return caught.value.fault


def test_a_person_is_known_by_issuer_and_subject_and_has_the_mapped_roles(
    flow: OpenIdFlow, provider: OpenIdProvider
) -> None:
    provider.person = {
        "sub": "77",
        "name": "李娜",
        "preferred_username": "li.na",
        "groups": ["radiology", "it"],
    }
    person, path = flow.finish(browse((begun := flow.begin("/studies/1")).address), cookie=begun.cookie)
    assert (person.issuer, person.subject) == (provider.issuer, "77")
    assert (person.name, person.login, person.roles) == ("李娜", "li.na", frozenset({"reader"}))
    assert path == "/studies/1"


def test_the_browser_is_sent_with_pkce_state_and_nonce(flow: OpenIdFlow) -> None:
    address = flow.begin(None).address
    for part in ("code_challenge=", "code_challenge_method=S256", "state=", "nonce=", "response_type=code"):
        assert part in address
    assert "code_verifier" not in address


def test_a_public_client_without_a_secret_may_sign_in_by_pkce_alone(
    provider: OpenIdProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tests.serving.identity.openid_provider._Client.check_endpoint_auth_method",
        lambda _self, method, _endpoint: method == "none",
    )
    monkeypatch.setattr(
        "authlib.oauth2.rfc6749.grants.AuthorizationCodeGrant.TOKEN_ENDPOINT_AUTH_METHODS", ["none"]
    )
    public = Provider(replace(terms_of(provider), client_secret=None), clock=clock.monotonic)
    flow = OpenIdFlow(public, RememberedInMemory(), clock=clock.us)
    assert finish(flow, flow.begin(None)).subject == "248289761001"


@pytest.mark.parametrize(
    ("spoil", "claim"),
    [
        (lambda claims: claims.update(nonce="another"), "nonce"),
        (lambda claims: claims.pop("nonce"), "nonce"),
        (lambda claims: claims.update(aud=["another-client"]), "aud"),
        (lambda claims: claims.update(aud=[CLIENT_ID, "another-client"]), "azp"),
        (lambda claims: claims.update(azp="another-client"), "azp"),
        (lambda claims: claims.update(iss="https://evil.example"), "iss"),
        (lambda claims: claims.update(exp=int(time.time()) - 61), "exp"),
        (lambda claims: claims.pop("exp"), "exp"),
        (lambda claims: claims.update(iat=int(time.time()) + 3600), "iat"),
        (lambda claims: claims.update(nbf=int(time.time()) + 3600), "nbf"),
        (lambda claims: claims.update(at_hash="x" * 22), "at_hash"),
        (lambda claims: claims.update(sub=""), "sub"),
        (lambda claims: claims.pop("sub"), "sub"),
        (lambda claims: claims.update(sub="x" * 256), "sub"),
    ],
)
def test_an_id_token_with_a_wrong_claim_is_refused(
    flow: OpenIdFlow, provider: OpenIdProvider, spoil: Callable[[dict[str, Any]], None], claim: str
) -> None:
    provider.spoil_claims = spoil
    with pytest.raises(OpenIdError, match=claim) as caught:
        finish(flow, flow.begin(None))
    assert caught.value.fault is Fault.ID_TOKEN


def test_the_algorithm_none_is_refused(flow: OpenIdFlow, provider: OpenIdProvider) -> None:
    provider.algorithm = "none"
    assert fault_of(lambda: finish(flow, flow.begin(None))) is Fault.ID_TOKEN


def test_a_shared_secret_does_not_sign(flow: OpenIdFlow, provider: OpenIdProvider) -> None:
    """HS256 by the client's secret, published or not: the algorithm is not on our list."""
    provider.key = OctKey.import_key(CLIENT_SECRET, parameters={"kid": "a"})
    provider.algorithm = "HS256"
    assert fault_of(lambda: finish(flow, flow.begin(None))) is Fault.ID_TOKEN


def test_another_key_than_the_published_does_not_sign(flow: OpenIdFlow, provider: OpenIdProvider) -> None:
    provider.published = [provider.key]
    forged = rsa_key()
    provider.key = RSAKey.import_key(forged.as_pem(private=True), {"kid": str(provider.key.kid)})
    assert fault_of(lambda: finish(flow, flow.begin(None))) is Fault.ID_TOKEN


def test_elliptic_curves_sign_too(flow: OpenIdFlow, provider: OpenIdProvider) -> None:
    provider.key, provider.algorithm = ec_key(), "ES256"
    assert finish(flow, flow.begin(None)).subject == "248289761001"


def test_a_provider_that_signs_by_a_shared_secret_alone_is_refused(
    flow: OpenIdFlow, provider: OpenIdProvider
) -> None:
    provider.spoil_metadata = lambda document: document.update(
        id_token_signing_alg_values_supported=["HS256"]
    )
    assert fault_of(lambda: finish(flow, flow.begin(None))) is Fault.MISCONFIGURED


def test_a_rotated_key_is_fetched_and_not_more_often_than_needed(
    flow: OpenIdFlow, provider: OpenIdProvider, clock: Clock
) -> None:
    finish(flow, flow.begin(None))
    provider.rotate()
    clock.ahead_s = 10.0
    assert finish(flow, flow.begin(None)).subject == "248289761001"
    finish(flow, flow.begin(None))
    assert sum("/keys" in line for line in provider.asked) == 2
    assert sum("/.well-known" in line for line in provider.asked) == 1


def test_a_state_counts_once(flow: OpenIdFlow) -> None:
    begun = flow.begin(None)
    answer = browse(begun.address)
    finish(flow, begun, answer)
    assert fault_of(lambda: finish(flow, begun, answer)) is Fault.STATE


def test_a_code_counts_once_even_under_another_state(flow: OpenIdFlow) -> None:
    used = browse((first := flow.begin(None)).address)
    finish(flow, first, used)
    second = flow.begin(None)
    assert (
        fault_of(lambda: finish(flow, second, browse(second.address) | {"code": used["code"]}))
        is Fault.REFUSED
    )


def test_a_code_of_another_sign_in_fails_by_pkce(flow: OpenIdFlow) -> None:
    """A code that was stolen from another's browser, brought under one's own state."""
    stolen = browse(flow.begin(None).address)["code"]
    begun = flow.begin(None)
    assert fault_of(lambda: finish(flow, begun, browse(begun.address) | {"code": stolen})) is Fault.REFUSED


def test_an_answer_in_another_browser_is_refused(flow: OpenIdFlow) -> None:
    begun = flow.begin(None)
    answer = browse(begun.address)
    assert fault_of(lambda: flow.finish(answer, cookie="another")) is Fault.STATE
    assert fault_of(lambda: flow.finish(answer, cookie=begun.cookie)) is Fault.STATE
    other = flow.begin(None)
    assert fault_of(lambda: flow.finish(browse(other.address), cookie=None)) is Fault.STATE


def test_a_sign_in_that_took_too_long_is_refused(flow: OpenIdFlow, clock: Clock) -> None:
    begun = flow.begin(None)
    answer = browse(begun.address)
    clock.ahead_s = SECONDS_TO_SIGN_IN + 1
    assert fault_of(lambda: finish(flow, begun, answer)) is Fault.STATE


@pytest.mark.parametrize("said", ["https://evil.example", None])
def test_an_answer_of_another_issuer_is_refused(flow: OpenIdFlow, said: str | None) -> None:
    begun = flow.begin(None)
    answer = browse(begun.address)
    del answer["iss"]
    assert fault_of(lambda: finish(flow, begun, answer | ({"iss": said} if said else {}))) is Fault.ISSUER


def test_a_provider_that_speaks_for_another_is_refused(flow: OpenIdFlow, provider: OpenIdProvider) -> None:
    provider.spoil_metadata = lambda document: document.update(issuer="https://accounts.example")
    assert fault_of(lambda: flow.begin(None)) is Fault.ISSUER


@pytest.mark.parametrize(
    "door", ["token_endpoint", "jwks_uri", "authorization_endpoint", "end_session_endpoint"]
)
@pytest.mark.parametrize(
    "address", ["http://169.254.169.254/latest", "https://127.0.0.1/x", "file:///etc/passwd"]
)
def test_discovery_leads_nowhere_but_to_the_provider(
    flow: OpenIdFlow, provider: OpenIdProvider, door: str, address: str
) -> None:
    provider.spoil_metadata = lambda document: document.update({door: address})
    assert fault_of(lambda: flow.begin(None)) is Fault.MISCONFIGURED


def test_a_host_that_the_operator_named_may_be_called(provider: OpenIdProvider, clock: Clock) -> None:
    named = provider.issuer.replace("127.0.0.1", "localhost")
    provider.spoil_metadata = lambda document: document.update(token_endpoint=f"{named}/token")
    terms = replace(terms_of(provider), hosts=frozenset({named.removeprefix("http://")}))
    flow = OpenIdFlow(Provider(terms, clock=clock.monotonic), RememberedInMemory(), clock=clock.us)
    assert finish(flow, flow.begin(None)).subject == "248289761001"


@pytest.mark.parametrize("place", ["elsewhere", "endless", "nothing"])
def test_keys_behind_a_redirect_without_end_or_missing_are_refused(
    flow: OpenIdFlow, provider: OpenIdProvider, place: str
) -> None:
    provider.spoil_metadata = lambda document: document.update(jwks_uri=f"{provider.issuer}/{place}")
    assert fault_of(lambda: finish(flow, flow.begin(None))) in {Fault.MISCONFIGURED, Fault.UNREACHABLE}


def test_a_provider_that_is_gone_is_named(clock: Clock) -> None:
    with openid_provider(CALLBACK) as gone:
        pass
    flow = OpenIdFlow(Provider(terms_of(gone), clock=clock.monotonic), RememberedInMemory(), clock=clock.us)
    assert fault_of(lambda: flow.begin(None)) is Fault.UNREACHABLE


def test_a_provider_that_was_away_is_not_asked_by_everybody_and_is_found_again(
    flow: OpenIdFlow, provider: OpenIdProvider, clock: Clock
) -> None:
    provider.spoil_metadata = lambda document: document.pop("jwks_uri")
    for _ in range(20):
        assert fault_of(lambda: flow.begin(None)) is Fault.MISCONFIGURED
    assert sum("/.well-known" in line for line in provider.asked) == 1
    provider.spoil_metadata = lambda _document: None
    clock.ahead_s = 6.0
    assert finish(flow, flow.begin(None)).subject == "248289761001"


def test_a_refusal_of_the_provider_is_told_by_its_code_alone(flow: OpenIdFlow) -> None:
    begun = flow.begin(None)
    answer = browse(begun.address)
    answer |= {"error": "access_denied", "error_description": "<script>"}
    with pytest.raises(OpenIdError, match="access_denied") as caught:
        finish(flow, begun, answer)
    assert "script" not in caught.value.detail


def test_signing_out_leads_by_the_provider_where_it_has_a_way(
    flow: OpenIdFlow, provider: OpenIdProvider, clock: Clock
) -> None:
    address = flow.provider.sign_out_address(after="http://127.0.0.1:8080/")
    assert address is not None
    assert address.startswith(f"{provider.issuer}/sign-out?client_id=firstread")
    provider.spoil_metadata = lambda document: document.pop("end_session_endpoint")
    clock.ahead_s = 3601.0
    assert flow.provider.sign_out_address(after="http://127.0.0.1:8080/") is None
