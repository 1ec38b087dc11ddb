"""The way in by an identity provider, as a browser goes it, against a provider that runs beside the test."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response

from serving.administration.people.service import Administrator, Change, People
from serving.identity.caller import EVERY_SITE, Role
from serving.identity.openid.opening import open_openid
from serving.settings import Settings
from serving.store.audit import read_rows
from serving.store.audit_chain import ActorKind, AuditRow, Who
from serving.store.people import Grants, Person
from serving.store.sites import add_site
from serving.store.tenancy import Scope
from tests.serving.identity.openid_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    OpenIdProvider,
    browse,
    openid_provider,
    with_query,
)
from tests.serving.service_in_process import Service, in_process

CALLBACK = "/sign-in/openid/callback"
OPERATOR = Administrator(Who(ActorKind.OPERATOR, "root"))


@pytest.fixture(scope="module")
def running_provider() -> Iterator[OpenIdProvider]:
    with openid_provider(f"http://localhost:8080{CALLBACK}") as running:
        yield running


@pytest.fixture
def provider(running_provider: OpenIdProvider) -> OpenIdProvider:
    running_provider.person = {
        "sub": "77",
        "name": "李娜",
        "preferred_username": "Li.Na",
        "groups": ["radiology"],
        "sites": ["north"],
    }
    running_provider.spoil_claims = lambda _claims: None
    return running_provider


def settings_of(provider: OpenIdProvider, **changes: object) -> Settings:
    return Settings.model_validate(
        {
            "public_url": "http://localhost:8080/",
            "oidc_issuer": provider.issuer,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": CLIENT_SECRET,
            "oidc_roles": "radiology=reader,it=operator",
            "oidc_sites_claim": "sites",
            "oidc_licence_claim": "licence.number",
            "oidc_licence_issuer_claim": "licence.by",
            "oidc_licence_expiry_claim": "licence.to",
            **changes,
        }
    )


@pytest.fixture
def service(tmp_path: Path, provider: OpenIdProvider) -> Iterator[Service]:
    with in_process(
        tmp_path,
        with_sign_in=True,
        factor_roles=[Role.OPERATOR],
        make_openid=lambda signing_in: open_openid(settings_of(provider), signing_in),
    ) as running:
        with running.database.writing() as connection:
            add_site(connection, "north", "North")
            add_site(connection, "south", "South")
        yield running


def go(service: Service, path: str = "/sign-in/openid") -> Response:
    """Go to the provider and back, as a browser does; gives the answer to its coming back."""
    sent = service.client.get(path, follow_redirects=False)
    assert sent.status_code == 303, sent.text
    back = with_query(CALLBACK, browse(sent.headers["Location"]))
    answer: Response = service.client.get(back, follow_redirects=False)
    return answer


def person(service: Service, login_name: str = "li.na") -> Person:
    return people_of(service).named(login_name)


def people_of(service: Service) -> People:
    assert service.identity.accounts is not None
    return People(service.database, service.trail, service.identity.accounts.links)


def rows(service: Service, action: str) -> list[AuditRow]:
    with service.database.reading() as connection:
        return [row for row in read_rows(connection) if row.action == action]


def test_somebody_new_comes_in_with_the_mapped_roles_and_goes_where_they_wanted(service: Service) -> None:
    answer = go(service, "/sign-in/openid?next=/account")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
    assert service.client.get("/api/v1/worklist").status_code == 200
    entered = person(service)
    assert (entered.name_zh, entered.home_site, entered.password_hash) == ("李娜", "north", None)
    assert entered.grants.roles == {"reader"}
    assert entered.grants.scope == Scope.of("north")
    (change,) = [json.loads(row.details) for row in rows(service, "permission-changed")]
    assert (change["subject"], change["before"]) == ("77", None)
    (came,) = rows(service, "logged-in")
    assert (came.actor, came.result) == ("li.na", "done")


def test_the_same_subject_is_the_same_person_whatever_else_changed(
    service: Service, provider: OpenIdProvider
) -> None:
    go(service)
    first = person(service)
    provider.person |= {"name": "Li N.", "preferred_username": "na.li", "email": "new@hospital.example"}
    go(service)
    assert [one.key for one in people_of(service).all(scope=EVERY_SITE)] == [first.key]


def test_another_subject_with_the_same_name_and_address_is_somebody_else(
    service: Service, provider: OpenIdProvider
) -> None:
    """A login name or an e-mail address that was given anew must not open the old account."""
    go(service)
    provider.person |= {"sub": "78"}
    go(service)
    names = [row.actor for row in rows(service, "logged-in")]
    assert names[0] == "li.na"
    assert names[1].startswith("li.na-")


def test_an_account_that_was_entered_here_is_not_taken_over(service: Service) -> None:
    people = people_of(service)
    own, _ = people.enter("li.na", name_zh="", name_en="Li", home_site=None, grants=Grants(), by=OPERATOR)
    go(service)
    assert rows(service, "logged-in")[0].actor.startswith("li.na-")
    assert person(service).key == own.key


def test_an_account_that_the_operator_linked_is_the_one_that_is_opened(
    service: Service, provider: OpenIdProvider
) -> None:
    people = people_of(service)
    own, _ = people.enter("na", name_zh="李娜", name_en="", home_site=None, grants=Grants(), by=OPERATOR)
    people.link(own.key, issuer=provider.issuer, subject="77", by=OPERATOR)
    go(service)
    assert [one.key for one in people.all(scope=EVERY_SITE)] == [own.key]
    assert rows(service, "logged-in")[-1].actor == "na"


def test_roles_and_sites_follow_the_provider_at_every_sign_in(
    service: Service, provider: OpenIdProvider
) -> None:
    go(service)
    provider.person |= {"groups": ["radiology", "it", "chess"], "sites": ["*"]}
    go(service)
    assert person(service).grants.roles == {"reader", "operator"}
    assert person(service).grants.scope.sites is None
    latest = json.loads(rows(service, "permission-changed")[-1].details)
    assert latest["before"] == {"roles": ["reader"], "sites": ["north"]}
    provider.person |= {"groups": ["radiology"], "sites": ["south", "nowhere"]}
    go(service)
    assert "operator" in person(service).grants.roles  # the last one stays, whatever the provider says
    assert person(service).grants.scope == Scope.of("south")


def test_a_person_without_a_mapped_role_is_told_so_in_their_language(
    service: Service, provider: OpenIdProvider
) -> None:
    provider.person |= {"groups": ["chess"]}
    answer = go(service, "/sign-in/openid?lang=zh")
    assert answer.status_code == 403
    assert "no role here yet" in answer.text
    assert people_of(service).all(scope=EVERY_SITE) == []
    row = rows(service, "logged-in")[-1]
    assert (row.result, json.loads(row.details)["reason"]) == ("refused", "no-role")


def test_who_lost_every_role_is_told_so_and_has_lost_them_here(
    service: Service, provider: OpenIdProvider
) -> None:
    go(service)
    provider.person |= {"groups": []}
    assert go(service).status_code == 403
    assert person(service).grants.roles == frozenset()


def test_who_is_kept_out_here_stays_out(service: Service) -> None:
    go(service)
    people_of(service).change(person(service).key, Change(is_active=False), by=OPERATOR)
    assert go(service).status_code == 403
    assert json.loads(rows(service, "logged-in")[-1].details)["reason"] == "deactivated"


def test_a_licence_that_the_provider_vouches_for_stands_with_its_issuer_and_last_day(
    service: Service, provider: OpenIdProvider
) -> None:
    provider.person |= {"licence": {"number": "110110", "by": "NHC", "to": "2099-12-31"}}
    go(service)
    licence = person(service).licence
    assert licence is not None
    assert (licence.number, licence.issuer, licence.verified_by) == ("110110", "NHC", provider.issuer)
    assert "110110 (NHC)" in str(rows(service, "logged-in")[-1].verified_identity)
    n_before = len(rows(service, "permission-changed"))
    go(service)
    assert len(rows(service, "permission-changed")) == n_before  # nothing new was said
    del provider.person["licence"]
    go(service)
    assert person(service).licence is None


def test_a_state_or_code_is_of_no_use_twice_or_in_another_browser(service: Service) -> None:
    sent = service.client.get("/sign-in/openid", follow_redirects=False)
    back = with_query(CALLBACK, browse(sent.headers["Location"]))
    cookies = dict(service.client.cookies)
    service.client.cookies.clear()
    assert service.client.get(back, follow_redirects=False).status_code == 403
    service.client.cookies.update(cookies)
    assert service.client.get(back, follow_redirects=False).status_code == 403
    for row in rows(service, "logged-in"):
        assert json.loads(row.details)["reason"] == "state-unknown-or-used"


def test_an_answer_that_says_something_twice_counts_for_nothing(service: Service) -> None:
    sent = service.client.get("/sign-in/openid", follow_redirects=False)
    back = with_query(CALLBACK, browse(sent.headers["Location"]))
    assert service.client.get(f"{back}&state=x", follow_redirects=False).status_code == 403


def test_the_cookie_of_the_way_is_for_the_way_alone(service: Service) -> None:
    sent = service.client.get("/sign-in/openid", follow_redirects=False)
    cookie = sent.headers["Set-Cookie"]
    for part in ("HttpOnly", "SameSite=lax", "Path=/sign-in/openid", "Max-Age=600"):
        assert part.lower() in cookie.lower()
    assert sent.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("wanted", ["//evil.example/", "https://evil.example/", "/\\evil.example"])
def test_nobody_is_led_elsewhere_after_signing_in(service: Service, wanted: str) -> None:
    sent = service.client.get("/sign-in/openid", params={"next": wanted}, follow_redirects=False)
    back = with_query(CALLBACK, browse(sent.headers["Location"]))
    assert service.client.get(back, follow_redirects=False).headers["Location"] == "/"


def test_a_spoilt_id_token_lets_nobody_in(service: Service, provider: OpenIdProvider) -> None:
    provider.spoil_claims = lambda claims: claims.update(aud=["another-client"])
    answer = go(service)
    assert answer.status_code == 403
    assert "firstread=" not in answer.headers.get("Set-Cookie", "")
    assert people_of(service).all(scope=EVERY_SITE) == []


def test_a_provider_that_is_away_is_said_to_be(tmp_path: Path) -> None:
    with openid_provider("http://localhost:8080/x") as gone:
        pass
    with in_process(
        tmp_path, with_sign_in=True, make_openid=lambda signing_in: open_openid(settings_of(gone), signing_in)
    ) as service:
        answer = service.client.get("/sign-in/openid", follow_redirects=False)
        assert answer.status_code == 502
        assert "does not answer" in answer.text


def test_the_page_to_sign_in_shows_the_way_and_signing_out_ends_the_providers_session_too(
    service: Service, provider: OpenIdProvider
) -> None:
    page = service.client.get("/sign-in?next=/account").text
    assert "/sign-in/openid?lang=en&amp;next=/account" in page
    go(service)
    out = service.client.get("/sign-out/openid", follow_redirects=False)
    assert out.headers["Location"].startswith(f"{provider.issuer}/sign-out?client_id=firstread")


def test_a_second_factor_of_ours_is_asked_for_unless_the_provider_does_it(
    service: Service, provider: OpenIdProvider
) -> None:
    provider.person |= {"groups": ["it"]}
    answer = go(service)
    assert answer.headers["Location"].startswith("/account/second-factor")


def test_a_flood_of_beginnings_is_slowed(service: Service) -> None:
    answers = {service.client.get("/sign-in/openid", follow_redirects=False).status_code for _ in range(125)}
    assert answers == {303, 429}
