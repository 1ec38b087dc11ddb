import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pyotp
import pytest
from sqlalchemy import update
from starlette.testclient import TestClient

from serving.audit.opening import operator
from serving.identity.caller import Role, Stage
from serving.identity.presence import page_token
from serving.identity.refused_sign_in import Reason, SignInRefusedError
from serving.store.identity_tables import sessions, users
from serving.store.people import find_person
from serving.store.times import now_us
from serving.web.account_wording import account_wording_of
from serving.worklist.language import Language
from tests.serving.identity.people import (
    PASSWORD,
    VISITOR,
    YEAR_US,
    browser,
    enter,
    let_in,
    rows,
    signing_in,
)
from tests.serving.service_in_process import Service, in_process, photograph

STILL_S = now_us() // 1_000_000


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("service"), with_sign_in=True) as running:
        # apps and service agree on the time of the codes, however slow the machine is
        object.__setattr__(signing_in(running).factors, "clock", lambda: STILL_S * 1_000_000)
        yield running


@pytest.fixture
def still(tmp_path: Path) -> Iterator[Service]:
    """Give a service whose clock stands, so that no wait ends while a slow machine hashes."""
    now = now_us()
    with in_process(tmp_path, with_sign_in=True, clock=lambda: now) as running:
        yield running


def _sign_in(client: TestClient, name: str, password: str = PASSWORD, **fields: str) -> int:
    answer = client.post(
        "/sign-in", data={"login_name": name, "password": password, **fields}, follow_redirects=False
    )
    return answer.status_code


def _switch_on(client: TestClient, *, at_s: int = STILL_S) -> tuple[pyotp.TOTP, str]:
    """Switch the second factor on; gives the app, and the code that was used."""
    page = client.get("/account/second-factor").text
    found = re.search(r"<code>([A-Z2-7 ]+)</code>", page)
    assert found is not None
    secret = found.group(1).replace(" ", "")
    app = pyotp.TOTP(secret)
    code = app.at(at_s)
    answer = client.post("/account/second-factor", data={"code": code})
    assert answer.status_code == 200, answer.text
    assert len(re.findall(r"<li><code>", answer.text)) == 10
    return app, code


def test_who_signs_in_gets_a_cookie_that_no_script_reads_and_sees_the_list(service: Service) -> None:
    enter(service, Role.READER, name="wang.fang", password=PASSWORD)
    client = browser(service)
    answer = client.post(
        "/sign-in", data={"login_name": " Wang.Fang ", "password": PASSWORD}, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    session, device = answer.headers.get_list("set-cookie")
    assert re.match(r"firstread=[\w-]{43}; HttpOnly; Path=/; SameSite=lax$", session)
    assert "HttpOnly" in device
    assert "Secure" not in session  # plain http
    assert client.get("/").status_code == 200
    row = next(row for row in rows(service) if row.action == "logged-in" and row.actor == "wang.fang")
    assert (row.result, row.actor_kind, row.address) == ("done", "person", "testclient")


def test_over_tls_the_cookie_is_of_this_host_alone_and_the_other_is_not_looked_at(service: Service) -> None:
    person = enter(service, Role.READER, name="tls", password=PASSWORD)
    client = TestClient(service.client.app, base_url="https://testserver")
    client.post("/sign-in", data={"login_name": "tls", "password": PASSWORD})
    assert "__Host-firstread" in client.cookies
    assert client.get("/api/v1/me").status_code == 200
    plain = TestClient(service.client.app, base_url="https://testserver")
    plain.cookies.set("firstread", let_in(service, person))
    assert plain.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    ("name", "password"), [("li", "wrong"), ("nobody-of-that-name", PASSWORD), ("idle", "")]
)
def test_a_wrong_name_and_a_wrong_password_are_told_alike(service: Service, name: str, password: str) -> None:
    with service.database.reading() as connection:
        is_there = find_person(connection, login_name="li") is not None
    if not is_there:
        enter(service, Role.READER, name="li", password=PASSWORD)
        enter(service, Role.READER, name="idle")  # has no password at all
    answer = browser(service).post("/sign-in", data={"login_name": name, "password": password or "x"})
    assert answer.status_code == 403
    assert "The name or the password is not right." in answer.text
    row = next(row for row in reversed(rows(service)) if row.action == "logged-in")
    assert (row.result, row.actor) == ("refused", "anonymous")
    assert "nobody-of-that-name" not in row.details


def test_somebody_who_was_shut_out_is_out_at_once(service: Service) -> None:
    person = enter(service, Role.READER, name="gone", password=PASSWORD)
    client = browser(service, let_in(service, person))
    assert client.get("/api/v1/me").status_code == 200
    with service.database.writing() as connection:
        connection.execute(update(users).where(users.c.id == person.id).values(is_active=False))
    assert client.get("/api/v1/me").json()["code"] == "credential-refused"
    assert _sign_in(browser(service), "gone") == 403


def test_a_sign_in_has_a_session_of_its_own_whatever_the_browser_held(service: Service) -> None:
    enter(service, Role.READER, name="fixed", password=PASSWORD)
    client = browser(service)
    client.cookies.set("firstread", "chosen-by-somebody-else", domain="testserver.local")
    assert _sign_in(client, "fixed") == 303
    assert "chosen-by-somebody-else" not in [cookie.value for cookie in client.cookies.jar if cookie.domain]
    assert browser(service, "chosen-by-somebody-else").get("/api/v1/me").status_code == 401


def test_who_signs_out_is_out_although_the_cookie_was_kept(service: Service) -> None:
    token = let_in(service, enter(service, Role.READER))
    client = browser(service, token)
    answer = client.post("/sign-out", follow_redirects=False)
    assert answer.status_code == 303
    assert 'firstread=""; ' in answer.headers["Set-Cookie"]
    assert browser(service, token).get("/api/v1/me").status_code == 401
    assert rows(service)[-2].action == "logged-out"


@pytest.mark.parametrize(
    ("column", "ago_us", "reason"),
    [("expires_at", 1, "expired"), ("last_seen_at", 31 * 60 * 1_000_000, "idle"), ("ended_at", 1, "ended")],
)
def test_a_session_that_is_over_is_refused_and_the_browser_forgets_it(
    service: Service, column: str, ago_us: int, reason: str
) -> None:
    token = let_in(service, enter(service, Role.READER))
    with service.database.writing() as connection:
        newest = sessions.c.id == connection.exec_driver_sql("SELECT max(id) FROM sessions").scalar_one()
        connection.execute(update(sessions).where(newest).values({column: now_us() - ago_us}))
    answer = browser(service, token).get("/api/v1/me")
    assert (answer.status_code, answer.json()["code"]) == (401, "credential-refused")
    assert "Max-Age=0" in answer.headers["Set-Cookie"]
    assert answer.headers["WWW-Authenticate"].startswith("Session ")
    assert f'"reason":"{reason}"' in rows(service)[-1].details


def test_pages_that_renew_themselves_do_not_keep_a_session_alive(service: Service) -> None:
    token = let_in(service, enter(service, Role.READER))
    with service.database.writing() as connection:
        newest = sessions.c.id == connection.exec_driver_sql("SELECT max(id) FROM sessions").scalar_one()
        connection.execute(update(sessions).where(newest).values(last_seen_at=now_us() - 29 * 60 * 1_000_000))

    def seen() -> int:
        with service.database.reading() as connection:
            return int(connection.execute(sessions.select().where(newest)).one().last_seen_at)

    before = seen()
    client = browser(service, token)
    client.get("/", headers={"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"})
    client.get("/api/v1/worklist", headers={"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"})
    assert seen() == before
    client.get("/", headers={"Sec-Fetch-Mode": "navigate", "Sec-Fetch-User": "?1"})
    assert seen() > before


def test_a_browser_without_a_session_is_led_to_sign_in_and_back(service: Service) -> None:
    enter(service, Role.READER, name="back", password=PASSWORD)
    client = browser(service, accept="text/html")
    led = client.get("/studies/abc?lang=zh", follow_redirects=False)
    assert (led.status_code, led.headers["Location"]) == (303, "/sign-in?next=/studies/abc%3Flang%3Dzh")
    assert 'name="next" value="/studies/abc?lang=zh"' in client.get(led.headers["Location"]).text
    answer = client.post(
        "/sign-in",
        data={"login_name": "back", "password": PASSWORD, "next": "/studies/abc?lang=zh"},
        follow_redirects=False,
    )
    assert answer.headers["Location"] == "/studies/abc?lang=zh"


@pytest.mark.parametrize("way", ["https://evil.example/", "//evil.example/", "/\\evil.example", "x", "/a\nb"])
def test_nobody_is_led_to_another_site(service: Service, way: str) -> None:
    page = browser(service).get("/sign-in", params={"next": way}).text
    assert 'name="next" value="/"' in page


def test_a_change_without_the_pages_token_does_nothing(service: Service) -> None:
    token = let_in(service, enter(service, Role.UPLOADER))
    bare = TestClient(service.client.app)
    bare.cookies.set("firstread", token)
    files = {"files": ("a.jpg", photograph(120))}
    for given in (None, "wrong", page_token("another session")):
        n_before = len(rows(service))
        headers = {} if given is None else {"X-CSRF-Token": given}
        assert bare.post("/api/v1/studies", files=files, headers=headers).status_code == 403
        data = {} if given is None else {"csrf": given}
        assert bare.post("/send", files=files, data=data).status_code == 403
        assert [row.action for row in rows(service)[n_before:]] == ["access-refused"] * 2
    sent = bare.post("/api/v1/studies", files=files, headers={"X-CSRF-Token": page_token(token)})
    assert sent.status_code == 201
    assert bare.post("/send", files=files, data={"csrf": page_token(token)}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "is_taken"),
    [
        ({"Origin": "http://testserver"}, True),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
    ],
)
def test_no_other_site_signs_anybody_in(service: Service, headers: dict[str, str], is_taken: bool) -> None:
    name = f"login-csrf-{'-'.join(headers.values()).replace('/', '').replace(':', '')}"
    enter(service, Role.READER, name=name, password=PASSWORD)
    client = browser(service, **headers)
    assert _sign_in(client, name) == (303 if is_taken else 403)
    assert ("firstread" in client.cookies) is is_taken


def test_the_second_factor_is_asked_for_and_each_code_is_taken_once(service: Service) -> None:
    person = enter(service, Role.READER, name="two", password=PASSWORD)
    token = let_in(service, person)
    totp, code = _switch_on(browser(service, token))
    assert browser(service, token).get("/account/second-factor", follow_redirects=False).status_code == 303

    client = browser(service, accept="text/html")
    answer = client.post(
        "/sign-in",
        data={"login_name": "two", "password": PASSWORD, "next": "/account"},
        follow_redirects=False,
    )
    assert answer.headers["Location"].startswith("/sign-in/second-factor?")
    assert client.get("/", follow_redirects=False).headers["Location"].startswith("/sign-in/second-factor?")
    assert client.get("/api/v1/me").json()["code"] == "sign-in-needed"
    half = client.cookies["firstread"]
    client.headers["X-CSRF-Token"] = page_token(half)

    used = client.post("/sign-in/second-factor", data={"code": code})
    assert used.status_code == 403  # confirmed by this very code
    assert "This code was used already" in used.text
    following = totp.at(STILL_S + 30)
    through = client.post(
        "/sign-in/second-factor", data={"code": following, "next": "/account"}, follow_redirects=False
    )
    assert (through.status_code, through.headers["Location"]) == (303, "/account")
    assert client.cookies["firstread"] != half
    assert client.get("/account").status_code == 200
    assert browser(service, half).get("/api/v1/me").status_code == 401
    details = [row.details for row in rows(service) if row.action == "logged-in" and row.actor == "two"]
    assert '"second_factor":"app"' in details[-1]


def test_a_recovery_code_lets_in_once(service: Service) -> None:
    person = enter(service, Role.READER, name="lost", password=PASSWORD)
    factors = signing_in(service).factors
    enrolment = factors.enrolment(person)
    assert enrolment is not None
    codes = factors.confirm(person, pyotp.TOTP(enrolment.secret).at(STILL_S))
    parts = signing_in(service)
    half = let_in(service, person, Stage.SECOND_FACTOR)
    assert parts.with_second_factor(VISITOR, half, codes[3].lower().replace("-", " ")).stage is Stage.OPEN
    again = let_in(service, person, Stage.SECOND_FACTOR)
    with pytest.raises(SignInRefusedError, match="not right"):
        parts.with_second_factor(VISITOR, again, codes[3])


def test_a_flood_of_codes_is_slowed_down(still: Service) -> None:
    person = enter(still, Role.READER, name="guessed", password=PASSWORD)
    factors = signing_in(still).factors
    enrolment = factors.enrolment(person)
    assert enrolment is not None
    factors.confirm(person, pyotp.TOTP(enrolment.secret).at(signing_in(still).clock() // 1_000_000))
    half = let_in(still, person, Stage.SECOND_FACTOR)
    reasons = []
    for _ in range(7):
        with pytest.raises(SignInRefusedError) as caught:
            signing_in(still).with_second_factor(VISITOR, half, "000000")
        reasons.append(caught.value.reason)
    assert reasons == [Reason.CODE_WRONG] * 5 + [Reason.BLOCKED] * 2


def test_a_sealed_secret_is_of_no_use_to_another_account_or_key(service: Service) -> None:
    factors = signing_in(service).factors
    sealed = factors.seal.close("JBSWY3DPEHPK3PXP", bound_to="a")
    assert factors.seal.open(sealed, bound_to="a") == "JBSWY3DPEHPK3PXP"
    assert factors.seal.open(sealed, bound_to="b") is None
    assert type(factors.seal)(bytes(32)).open(sealed, bound_to="a") is None
    assert "JBSWY3DP" not in sealed


def test_a_role_that_needs_a_second_factor_sets_it_up_before_anything_else(tmp_path: Path) -> None:
    with in_process(tmp_path, with_sign_in=True, factor_roles=[Role.OPERATOR]) as service:
        enter(service, Role.OPERATOR, name="op", password=PASSWORD)
        client = browser(service, accept="text/html")
        assert _sign_in(client, "op") == 303
        client.headers["X-CSRF-Token"] = page_token(client.cookies["firstread"])
        assert (
            client.get("/account", follow_redirects=False)
            .headers["Location"]
            .startswith("/account/second-factor")
        )
        assert client.get("/metrics", headers={"Accept": "*/*"}).status_code == 401
        _switch_on(client, at_s=now_us() // 1_000_000)
        client.headers["X-CSRF-Token"] = page_token(client.cookies["firstread"])
        assert client.get("/metrics").status_code == 200
        refused = client.post("/account/second-factor/remove", data={"present": PASSWORD})
        assert "cannot be switched off" in refused.text


def test_the_first_person_sets_the_service_up_by_a_link_that_works_once(tmp_path: Path) -> None:
    with in_process(tmp_path, with_sign_in=True) as service:
        assert service.identity.accounts is not None
        older = service.identity.accounts.links.for_set_up(operator())
        token = service.identity.accounts.links.for_set_up(operator())
        assert older is not None
        assert token is not None
        client = browser(service)
        assert client.get("/set-up", params={"token": older}).status_code == 410
        assert client.get("/set-up", params={"token": token}).status_code == 200
        form = {"token": token, "login_name": "Zhou", "name_zh": "周", "password": "short", "again": "short"}
        short = client.post("/set-up", data=form)
        assert short.status_code == 422
        assert "at least 15 characters" in short.text
        assert 'value="zhou"' in short.text.lower()
        form |= {"password": PASSWORD, "again": PASSWORD}
        done = client.post("/set-up", data=form, follow_redirects=False)
        assert done.headers["Location"].startswith("/account/second-factor")
        me = client.get("/api/v1/me").json()
        assert (me["roles"], me["sites"], me["may_read"]) == (["operator", "supervisor"], "every", False)
        again = browser(service).post("/set-up", data=form)
        assert again.status_code == 410
        assert service.identity.accounts.links.for_set_up(operator()) is None
        actions = [row.action for row in rows(service)]
        assert actions.count("permission-changed") == 3


def test_a_new_password_ends_every_other_session(service: Service) -> None:
    person = enter(service, Role.READER, name="changes", password=PASSWORD)
    here, there = let_in(service, person), let_in(service, person)
    client = browser(service, here)
    form = {
        "present": PASSWORD,
        "password": "another lantern altogether",
        "again": "another lantern altogether",
    }
    wrong = client.post("/account/password", data=form | {"present": "not it"})
    assert (wrong.status_code, "The present password is not right." in wrong.text) == (403, True)
    done = client.post("/account/password", data=form, follow_redirects=False)
    assert done.status_code == 303
    assert client.get("/api/v1/me").status_code == 200
    assert browser(service, there).get("/api/v1/me").status_code == 401
    assert browser(service, here).get("/api/v1/me").status_code == 401
    assert _sign_in(browser(service), "changes") == 403
    assert _sign_in(browser(service), "changes", "another lantern altogether") == 303
    row = next(row for row in reversed(rows(service)) if row.action == "password-changed")
    assert (row.actor, row.result) == ("changes", "done")


def test_a_link_sets_a_password_once_and_ends_every_session(service: Service) -> None:
    person = enter(service, Role.READER, name="invited")
    assert service.identity.accounts is not None
    token = service.identity.accounts.links.for_password(person, operator())
    there = let_in(service, person)
    client = browser(service)
    assert "invited" in client.get("/password", params={"token": token}).text
    form = {"token": token, "password": PASSWORD, "again": PASSWORD}
    differs = client.post("/password", data=form | {"again": "something else again"})
    assert "The two passwords differ." in differs.text
    assert client.post("/password", data=form, follow_redirects=False).status_code == 303
    assert browser(service, there).get("/api/v1/me").status_code == 401
    assert client.post("/password", data=form).status_code == 410
    assert _sign_in(browser(service), "invited") == 303


def test_somebody_sees_their_own_sessions_and_ends_no_other_ones(service: Service) -> None:
    mine, other = enter(service, Role.READER), enter(service, Role.READER)
    token, second, foreign = let_in(service, mine), let_in(service, mine), let_in(service, other)
    with service.database.reading() as connection:
        keys = dict(
            connection.execute(sessions.select().with_only_columns(sessions.c.user_id, sessions.c.key)).all()
        )
    client = browser(service, token)
    client.post("/account/sessions/end", data={"session": keys[other.id]})
    assert browser(service, foreign).get("/api/v1/me").status_code == 200
    client.post("/account/sessions/end")
    assert browser(service, second).get("/api/v1/me").status_code == 401
    assert client.get("/api/v1/me").status_code == 200


def test_a_licence_stands_in_the_trail_until_it_expires(service: Service) -> None:
    valid = enter(service, Role.READER, licence_ends_us=now_us() + YEAR_US)
    expired = enter(service, Role.READER, licence_ends_us=now_us() - 1)
    for person, verified, may_read in (
        (valid, "110101199001 (Beijing Health Commission)", True),
        (expired, None, False),
    ):
        client = browser(service, let_in(service, person))
        assert client.get("/api/v1/worklist").status_code == 200
        row = rows(service)[-1]
        assert (row.action, row.verified_identity) == ("viewed-list", verified)
        assert client.get("/api/v1/me").json()["may_read"] is may_read
        page = client.get("/account").text
        assert ("valid until" in page, "expired on" in page) == (may_read, not may_read)


def test_hashes_of_older_parameters_are_made_anew(service: Service) -> None:
    import argon2

    weak = argon2.PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    person = enter(service, Role.READER, name="weak")
    with service.database.writing() as connection:
        connection.execute(update(users).where(users.c.id == person.id).values(password_hash=weak))
    assert _sign_in(browser(service), "weak") == 303
    with service.database.reading() as connection:
        again = find_person(connection, login_name="weak")
    assert again is not None
    assert "$m=65536,t=3,p=4$" in str(again.password_hash)
    assert _sign_in(browser(service), "weak") == 303


def test_too_many_wrong_passwords_are_slowed_down_and_that_is_kept(still: Service) -> None:
    enter(still, Role.READER, name="slow", password=PASSWORD)
    client = browser(still)
    client.headers["Accept-Language"] = "zh"
    answers = [client.post("/sign-in", data={"login_name": "slow", "password": "no"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [403] * 5 + [429]
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 5
    assert "尝试次数过多" in answers[-1].text
    assert _sign_in(client, "slow") == 429  # the right one has to wait as well
    kept = [row for row in rows(still) if '"account":"slow"' in row.details]
    assert [(row.action, row.result) for row in kept[-3:]] == [
        ("locked-out", "done"),
        ("logged-in", "refused"),
        ("logged-in", "refused"),
    ]
    assert '"on":["pair"]' in kept[-3].details


def test_a_browser_that_was_let_in_before_gets_in_while_others_are_slowed_down(still: Service) -> None:
    enter(still, Role.READER, name="besieged", password=PASSWORD)
    mine = browser(still)
    assert _sign_in(mine, "besieged") == 303
    for _ in range(7):
        _sign_in(browser(still), "besieged", "guess")
    assert _sign_in(browser(still), "besieged") == 429
    assert _sign_in(mine, "besieged") == 303
    thief = browser(still)
    thief.cookies.set("firstread-device", mine.cookies["firstread-device"])
    enter(still, Role.READER, name="another", password=PASSWORD)
    assert _sign_in(thief, "another") == 303  # the mark is worth nothing for another account


def test_a_second_factor_stands_in_the_trail_when_it_is_switched_on_and_off(service: Service) -> None:
    person = enter(service, Role.READER, name="onoff", password=PASSWORD)
    token, there = let_in(service, person), let_in(service, person)
    client = browser(service, token)
    _switch_on(client)
    assert browser(service, there).get("/api/v1/me").status_code == 401  # opened by the password alone
    off = client.post("/account/second-factor/remove", data={"present": PASSWORD}, follow_redirects=False)
    assert off.headers["Location"].endswith("told=factor")
    kept = [
        row.details for row in rows(service) if (row.action, row.actor) == ("second-factor-changed", "onoff")
    ]
    assert kept == ['{"to":"app"}', '{"to":null}']


def test_the_pages_run_nothing_inline_and_fetch_nothing_from_elsewhere(service: Service) -> None:
    client = browser(service, let_in(service, enter(service, Role.READER)))
    for way in ("/sign-in", "/account", "/account/second-factor", "/set-up?token=x", "/password?token=x"):
        for language in ("en", "zh"):
            page = client.get(way, params={"lang": language}).text if "?" not in way else client.get(way).text
            assert not re.search(r"<[^>]+\s(style|on\w+)=|<style|<script(?![^>]*src=)", page), way
            links = re.findall(r'(?:src|href|action)="([^"]*)"', page)
            assert links
            assert all(link.startswith("/") and not link.startswith("//") for link in links), links


def test_every_phrase_of_the_account_is_there_in_both_languages() -> None:
    for language in Language:
        say = account_wording_of(language)
        assert all(getattr(say, one.name) for one in fields(say))
        assert set(say.reasons) == set(Reason)
        assert set(say.role_names) == set(Role)
        for reason in Reason:
            assert "{" not in say.refused(SignInRefusedError(reason, seconds=75, characters=15))
    assert "1:15" in account_wording_of(Language.ENGLISH).refused(
        SignInRefusedError(Reason.BLOCKED, seconds=75)
    )


def test_who_signs_in_at_somebody_elses_open_browser_ends_their_session(service: Service) -> None:
    left_open = let_in(service, enter(service, Role.READER, name="left"))
    enter(service, Role.READER, name="came", password=PASSWORD)
    client = TestClient(service.client.app)
    client.cookies.set("firstread", left_open, domain="testserver.local")
    assert _sign_in(client, "came", "wrong") == 403
    assert browser(service, left_open).get("/api/v1/me").status_code == 200  # not before they are in
    assert _sign_in(client, "came") == 303
    assert browser(service, left_open).get("/api/v1/me").status_code == 401
    assert client.get("/api/v1/me").json()["name"] == "came"
    assert ("logged-out", "left") in [(row.action, row.actor) for row in rows(service)]
