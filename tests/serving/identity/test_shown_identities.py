"""A proxy's word and a connection's certificate: believed of those who may say it, and whose it is."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives import hashes
from httpx2 import Response
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from serving.administration.certificates.service import Certificates, Kind, Named
from serving.administration.people.service import Administrator, Change, People
from serving.app import Manners
from serving.audit.trail import AuditTrail
from serving.errors import ServiceError
from serving.identity.authentication import Authenticator
from serving.identity.caller import EVERY_SITE, Role, TokenScope
from serving.identity.gate import Gate
from serving.identity.opening import open_links
from serving.identity.proxies import TrustedProxies
from serving.identity.refusals import Refusals
from serving.identity.shown_identities import PeerCertificates, ProxyHeaders, ProxyProofs, ShownIdentities
from serving.identity.tokens import Tokens
from serving.store.audit import read_rows
from serving.store.audit_chain import ActorKind, AuditRow, Who
from serving.store.people import Grants
from serving.store.tenancy import Scope as Sites
from tests.serving.identity.authority import Authority, Issued
from tests.serving.service_in_process import Service, in_process, photograph

PROXIES = TrustedProxies.parse("10.1.0.7")
HEADERS = ProxyHeaders("X-Remote-User", "X-SSL-Client-Cert", "X-SSL-Client-S-DN")
OPERATOR = Administrator(Who(ActorKind.OPERATOR, "root"))
LIST = "/api/v1/worklist"


def _gate(trail: AuditTrail) -> Gate:
    identities = ShownIdentities(trail.database, lambda key: f"page-{key}", trail.clock)
    ways: list[Authenticator] = [ProxyProofs(identities, PROXIES, HEADERS), PeerCertificates(identities)]
    return Gate(ways, Refusals(trail, clock_s=lambda: float(trail.clock())))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path, make_gate=_gate, manners=Manners(proxies=PROXIES)) as running:
        people = People(running.database, running.trail, open_links(running.trail))
        grants = Grants(frozenset({str(Role.SUPERVISOR)}), frozenset(), Sites(frozenset({"local"})))
        people.enter("li.na", name_zh="李娜", name_en="", home_site="local", grants=grants, by=OPERATOR)
        yield running


def behind(service: Service, address: str = "10.1.0.7", **headers: str) -> TestClient:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return TestClient(service.client.app, client=(address, 50_000), headers=named)


def last_row(service: Service) -> AuditRow:
    with service.database.reading() as connection:
        return list(read_rows(connection))[-1]


def certificate_of(issued: Issued) -> str:
    return quote(issued.certificate_pem.decode(), safe="")


class WithCertificate:
    """Does what the server does for a connection with a certificate."""

    def __init__(self, app: ASGIApp, issued: Issued) -> None:
        self._app = app
        self._chain = [issued.certificate_pem.decode()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = {"tls": {"client_cert_chain": self._chain}}
        await self._app(scope, receive, send)


def test_a_trusted_proxy_says_who_signed_in_and_from_where(service: Service) -> None:
    client = behind(service, X_Remote_User=" Li.Na ", X_Forwarded_For="6.6.6.6, 192.0.2.5")
    assert client.get(LIST).status_code == 200
    row = last_row(service)
    assert (row.actor_kind, row.actor, row.address) == ("person", "li.na", "192.0.2.5")


@pytest.mark.parametrize("address", ["192.0.2.99", "127.0.0.1", "10.1.0.8"])
def test_anyone_else_who_says_so_is_refused_and_kept_in_the_trail(service: Service, address: str) -> None:
    answer = behind(service, address, X_Remote_User="li.na", X_Forwarded_For="10.1.0.7").get(LIST)
    assert (answer.status_code, answer.json()["code"]) == (401, "credential-refused")
    row = last_row(service)
    assert (row.action, row.actor, row.address) == ("access-refused", "anonymous", address)
    assert json.loads(row.details)["reason"] == "untrusted"


def test_a_header_beside_the_proxys_own_is_refused(service: Service) -> None:
    client = behind(service)
    answer = client.get(LIST, headers=[("X-Remote-User", "li.na"), ("x-remote-user", "root")])
    assert answer.status_code == 401
    assert json.loads(last_row(service).details)["reason"] == "contradiction"


def test_whom_nobody_entered_or_who_is_kept_out_is_refused(service: Service) -> None:
    assert behind(service, X_Remote_User="ghost").get(LIST).status_code == 401
    people = People(service.database, service.trail, open_links(service.trail))
    people.change(people.named("li.na").key, Change(is_active=False), by=OPERATOR)
    assert behind(service, X_Remote_User="li.na").get(LIST).status_code == 401
    assert json.loads(last_row(service).details)["reason"] == "inactive"


def test_without_a_name_the_proxy_vouches_for_nobody(service: Service) -> None:
    answer = behind(service, X_Remote_User="").get(LIST)
    assert (answer.status_code, answer.json()["code"]) == (401, "sign-in-needed")


def test_a_change_needs_the_token_of_our_page_since_the_browser_adds_the_proof_itself(
    service: Service,
) -> None:
    client = behind(service, X_Remote_User="li.na")
    files = {"files": ("a.jpg", photograph(9))}
    assert client.post("/api/v1/studies", files=files).json()["code"] == "page-token-wrong"
    people = People(service.database, service.trail, open_links(service.trail))
    token = {"X-CSRF-Token": f"page-{people.named('li.na').key}"}
    assert client.post("/api/v1/studies", files=files, headers=token).status_code == 201


def _ask(service: Service, headers: dict[str, str]) -> Response:
    answer: Response = behind(service).get(LIST, headers=headers)
    return answer


def test_a_certificate_that_the_proxy_verified_is_its_owner(service: Service) -> None:
    issued = Authority().issue("gateway")
    token = Tokens(service.database, service.trail).make(
        name="gateway",
        site="local",
        scopes=frozenset({TokenScope.READ}),
        days=9,
        who=OPERATOR.who,
        scope=EVERY_SITE,
    )
    certificates = Certificates(service.database, service.trail)
    by_subject = {"X-SSL-Client-S-DN": "CN=gateway,O=Hospital"}
    by_itself = {"X-SSL-Client-Cert": certificate_of(issued)}
    verified = {"X-SSL-Client-Verify": "SUCCESS"}
    assert _ask(service, by_subject | verified).json()["code"] == "sign-in-needed"

    named = Named.of(subject="CN=gateway, O=Hospital", fingerprint=None, file=None)
    entered = certificates.enter(named, user=None, token=token.token.key, who=OPERATOR.who)
    for shown in (by_subject, by_itself):
        assert _ask(service, shown | verified).status_code == 200
        assert last_row(service).actor == f"gateway ({token.token.key})"
        for not_verified in ({}, {"X-SSL-Client-Verify": "FAILED:expired"}, {"X-SSL-Client-Verify": "NONE"}):
            assert _ask(service, shown | not_verified).json()["code"] == "credential-refused"
    assert _ask(service, by_itself | verified | {"X-SSL-Client-Cert": "%00"}).status_code == 401

    Tokens(service.database, service.trail).revoke(token.token.key, who=OPERATOR.who, scope=EVERY_SITE)
    assert _ask(service, by_subject | verified).json()["code"] == "credential-refused"
    certificates.remove(entered.key, who=OPERATOR.who)
    assert _ask(service, by_subject | verified).json()["code"] == "sign-in-needed"


def test_a_fingerprint_counts_before_a_subject(service: Service) -> None:
    issued = Authority().issue("li.na")
    fingerprint = issued.certificate.fingerprint(hashes.SHA256()).hex(":")
    certificates = Certificates(service.database, service.trail)
    people = People(service.database, service.trail, open_links(service.trail))
    grants = Grants(frozenset({str(Role.SUPERVISOR)}), frozenset(), Sites(None))
    people.enter("chen", name_zh="", name_en="Chen", home_site=None, grants=grants, by=OPERATOR)
    subject = Named(Kind.SUBJECT, "CN=li.na,O=Hospital")
    certificates.enter(subject, user="li.na", token=None, who=OPERATOR.who)
    by_itself = Named.of(subject=None, fingerprint=fingerprint.upper(), file=None)
    certificates.enter(by_itself, user="chen", token=None, who=OPERATOR.who)
    shown = {"X-SSL-Client-Cert": certificate_of(issued), "X-SSL-Client-Verify": "SUCCESS"}
    assert _ask(service, shown).status_code == 200
    assert last_row(service).actor == "chen"


def test_a_certificate_of_the_connection_itself_is_its_owner(service: Service) -> None:
    issued = Authority().issue("li.na")
    certificates = Certificates(service.database, service.trail)
    client = TestClient(WithCertificate(service.client.app, issued), client=("192.0.2.5", 1))
    assert client.get(LIST).json()["code"] == "sign-in-needed"
    certificates.enter(Named(Kind.SUBJECT, "CN=li.na,O=Hospital"), user="Li.Na", token=None, who=OPERATOR.who)
    assert client.get(LIST).status_code == 200
    assert (last_row(service).actor, last_row(service).address) == ("li.na", "192.0.2.5")


def test_a_certificate_is_one_owners_and_must_have_one(service: Service) -> None:
    certificates = Certificates(service.database, service.trail)
    named = Named(Kind.SUBJECT, "CN=a")
    for user, token in ((None, None), ("li.na", "x"), ("ghost", None), (None, "ghost")):
        with pytest.raises(ServiceError):
            certificates.enter(named, user=user, token=token, who=OPERATOR.who)
    certificates.enter(named, user="li.na", token=None, who=OPERATOR.who)
    with pytest.raises(ServiceError, match="somebody's already"):
        certificates.enter(named, user="li.na", token=None, who=OPERATOR.who)
    with pytest.raises(ServiceError, match="by one"):
        Named.of(subject="CN=a", fingerprint="ab" * 32, file=None)
