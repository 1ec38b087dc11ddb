"""Nobody sees what is another site's: every address is tried with another site's keys, UIDs and names."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from data.phantoms import write_sample_studies
from serving.identity.caller import Role
from serving.identity.permissions import PERMISSIONS, Address
from serving.store.tables import instances, studies
from serving.store.times import now_us
from tests.serving.identity.addresses import BODIES, NOTHING, PARAMETER, SEARCHES, filled, names_one_thing
from tests.serving.identity.people import YEAR_US, browser, enter, let_in, rows
from tests.serving.orders.resources import service_request
from tests.serving.service_in_process import Service, in_process, photograph

# What only a person can have, and must not be found in any answer to somebody of another site.
MARK = "left-forearm-north-only"

# Keys of the right form that nobody has.
INVENTED = {
    "entry": "f" * 32,
    "order": "f" * 32,
    "study": "f" * 32,
    "study_uid": "1.2.3.4",
    "token": "f" * 32,
    "site": "no-such-site",
}


@dataclass(frozen=True)
class Theirs:
    """What the other site has."""

    keys: dict[str, str]
    """A value for every parameter of a path."""
    secrets: tuple[str, ...]
    cursor: str
    study_uid: str
    patient: str


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with in_process(tmp_path_factory.mktemp("service"), with_sign_in=True) as running:
        yield running


@pytest.fixture(scope="module")
def theirs(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Theirs:
    """Send studies to `north`, and give every name by which they are known."""
    sender = browser(service, let_in(service, enter(service, Role.UPLOADER, Role.SUPERVISOR, site="north")))
    (chest,) = write_sample_studies(
        tmp_path_factory.mktemp("phantoms"), seed=1, n_skin=0, n_chest=1, n_head=0
    )
    sent = sender.post(
        "/api/v1/studies",
        files=[
            ("files", ("mole.jpg", photograph(200))),
            ("files", ("chest.dcm", chest.read_bytes())),
            ("files", (f"{MARK}.txt", b"cannot be taken")),
        ],
        data={"body_site": MARK},
        headers={"Idempotency-Key": "north-1"},
    ).json()
    service.score_all()
    details = [sender.get(study["url"]).json() for study in sent["studies"]]
    named = next(one for one in details if one["patient"])
    token = sender.post(
        "/api/v1/tokens", json={"name": "gateway-north", "site": "north", "scopes": ["read"], "days": 30}
    ).json()
    page = sender.get("/api/v1/worklist", params={"limit": 1}).json()
    ordered = sender.post("/fhir/ServiceRequest", json=service_request(question=MARK)).json()
    with service.database.reading() as connection:
        uid = named["images"][0]["sop_instance_uid"]
        query = select(instances.c.series_uid).where(instances.c.sop_instance_uid == uid)
        series = connection.execute(query).scalar_one()
    keys = NOTHING | {
        "entry": sent["rejected"][0]["quarantine"],
        "study": named["id"],
        "study_uid": named["uid"],
        "series": series,
        "instance": uid,
        "sop_instance_uid": uid,
        "token": token.get("id") or token.get("key") or str(token),
        "site": "north",
        "order": ordered["id"],
    }
    every = {MARK, keys["entry"], named["uid"], named["patient"], *(one["id"] for one in details)}
    return Theirs(
        keys,
        tuple(every),
        page["next"].partition("cursor=")[2].partition("&")[0],
        named["uid"],
        named["patient"],
    )


def _of_south(service: Service, *roles: Role) -> TestClient:
    licence_ends_us = now_us() + YEAR_US if Role.READER in roles else None
    person = enter(service, *roles, site="south", licence_ends_us=licence_ends_us)
    return browser(service, let_in(service, person))


def _is_administration(address: Address, role: Role) -> bool:
    """Whether an operator looks after it for the whole network: sites, people, tokens; no study."""
    return role is Role.OPERATOR and address[1].startswith(
        ("/api/v1/sites", "/api/v1/tokens", "/api/v1/users")
    )


@pytest.mark.parametrize("role", list(Role))
def test_another_sites_things_are_not_there(service: Service, theirs: Theirs, role: Role) -> None:
    tried = 0
    for address, rule in PERMISSIONS.items():
        if role not in rule.roles or not names_one_thing(address) or _is_administration(address, role):
            continue
        client = _of_south(service, role)
        body = BODIES.get(address, {})
        answer = client.request(address[0], filled(address, theirs.keys), **body)
        invented = client.request(address[0], filled(address, theirs.keys | INVENTED), **body)
        expected = 404 if address[1] not in SEARCHES else 204 if not answer.content else 200
        assert answer.status_code == expected, (address, answer.text)
        assert invented.status_code == expected, (address, invented.text)
        asked = filled(address, theirs.keys)
        told = {name for name in theirs.secrets if name in answer.text and name not in asked}
        assert not told, (address, answer.text)
        tried += 1
    assert tried or role in {Role.AUDITOR, Role.OPERATOR}


@pytest.mark.parametrize("role", list(Role))
def test_no_list_and_no_page_shows_another_sites_things(service: Service, theirs: Theirs, role: Role) -> None:
    for address, rule in PERMISSIONS.items():
        if address[0] != "GET" or names_one_thing(address) or not (rule.is_public or role in rule.roles):
            continue
        client = _of_south(service, role)
        for query in (
            {},
            {"cursor": theirs.cursor, "site": "north", "limit": "200"},
            {"StudyInstanceUID": theirs.study_uid},
            {"PatientID": theirs.patient},
        ):
            answer = client.get(filled(address, theirs.keys), params=query)
            assert answer.status_code in {200, 204, 303, 307, 400, 404, 410, 422}, (address, answer.text)
            hidden = (*theirs.secrets, *(() if _is_administration(address, role) else [theirs.keys["token"]]))
            found = [name for name in hidden if name in answer.text and name not in query.values()]
            assert not found, (address, found)


def test_the_same_images_are_each_sites_own(service: Service, theirs: Theirs) -> None:
    sender = _of_south(service, Role.UPLOADER)
    sent = sender.post("/api/v1/studies", files={"files": ("mole.jpg", photograph(200))})
    assert sent.status_code == 201  # new here, though the bytes are stored once
    (study,) = sent.json()["studies"]
    assert study["id"] not in theirs.secrets
    assert MARK not in sender.get(study["url"]).text
    with service.database.reading() as connection:
        sites = {
            row.site_id for row in connection.execute(studies.select().where(studies.c.uid == study["uid"]))
        }
    assert sites == {"north", "south"}


def test_another_sites_idempotency_key_gives_none_of_its_answer(service: Service, theirs: Theirs) -> None:
    sent = _of_south(service, Role.UPLOADER).post(
        "/api/v1/studies",
        files={"files": ("other.jpg", photograph(33))},
        headers={"Idempotency-Key": "north-1"},
    )
    assert sent.status_code == 201
    assert "Idempotent-Replayed" not in sent.headers
    assert not [name for name in theirs.secrets if name in sent.text]


def test_a_tag_that_is_known_from_elsewhere_opens_nothing(service: Service, theirs: Theirs) -> None:
    way = filled(
        ("GET", "/api/v1/studies/{study}/instances/{sop_instance_uid}/frames/1/rendered"), theirs.keys
    )
    for tag in ("*", '"0"'):
        answer = _of_south(service, Role.READER).get(way, headers={"If-None-Match": tag})
        assert answer.status_code == 404


def test_who_tries_for_another_sites_study_stands_in_the_trail(service: Service, theirs: Theirs) -> None:
    _of_south(service, Role.READER).get(f"/api/v1/studies/{theirs.keys['study']}")
    row = rows(service)[-1]
    assert (row.action, row.result, row.site) == ("viewed-study", "refused", "south")
    assert theirs.keys["study"] in row.details
    assert row.study_uid is None


def test_whoever_sees_the_whole_network_sees_both(service: Service, theirs: Theirs) -> None:
    person = enter(service, Role.READER, site="south", everywhere=True)
    client = browser(service, let_in(service, person))
    assert client.get(f"/api/v1/studies/{theirs.keys['study']}").status_code == 200


HOSTILE = [
    "' OR '1'='1",
    "1; DROP TABLE studies; --",
    "' UNION SELECT password_hash FROM users --",
    "%27%20OR%201%3D1",
    "../../../etc/passwd",
    "..%2F..%2F..%2Fetc%2Fpasswd",
    "%2e%2e%2f%2e%2e%2fidentity%2fsealing.key",
    "..%5c..%5cfirstread.sqlite",
    "%00",
    "a%00b",
    "%ff%fe",
    "x" * 4000,
    "\u202e\ud7ff",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "*",
    "%25",
]


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_key_is_refused_and_gives_nothing(service: Service, theirs: Theirs, hostile: str) -> None:
    person = enter(service, *Role, site="south", licence_ends_us=now_us() + YEAR_US)
    client = browser(service, let_in(service, person))
    for address, rule in PERMISSIONS.items():
        if not (rule.roles or rule.is_public):
            continue
        for parameter in PARAMETER.findall(address[1]):
            way = filled(address, theirs.keys | {parameter: hostile, f"{parameter}_uid": hostile})
            answer = client.request(address[0], way, **BODIES.get(address, {}))
            refused = {400, 404, 405, 409, 414, 422} | ({200} if answer.content == b"[]" else set())
            assert answer.status_code in refused, (address, parameter, answer.text)
            assert "root:" not in answer.text
            assert "$argon2" not in answer.text
    with service.database.reading() as connection:
        assert connection.execute(studies.select()).first() is not None


@pytest.mark.parametrize(
    "cookie",
    [
        "' OR '1'='1",
        "../../identity/sealing.key",
        "0" * 64,
        base64.b64encode(b'{"user":"operator"}').decode(),
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJvcGVyYXRvciJ9.",
        "x" * 3000,
        "\u00e4",
    ],
    ids=range(7),
)
def test_a_forged_cookie_is_refused_and_kept_in_the_trail(tmp_path: Path, cookie: str) -> None:
    with in_process(tmp_path, with_sign_in=True) as service:
        client = browser(service)
        header = f"firstread={cookie}".encode()
        answer = client.get("/api/v1/worklist", headers={b"Cookie": header})
        assert (answer.status_code, answer.json()["code"]) == (401, "credential-refused")
        row = rows(service)[-1]
        assert (row.action, row.result) == ("access-refused", "refused")
        assert '"proof":"session"' in row.details
        assert cookie not in row.details
