"""People as they are administered: by HTTP and by the program."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from httpx2 import Response
from typer.testing import CliRunner

from serving.cli import app
from serving.identity.gate import Gate
from serving.identity.refusals import Refusals
from serving.store.audit import read_rows
from tests.serving.administration.as_role import OPERATOR, SUPERVISOR, AsRole
from tests.serving.service_in_process import Service, in_process

LI_NA = {
    "login_name": "Li.Na",
    "name_zh": "李娜",
    "name_en": "Li Na",
    "home_site": "north",
    "roles": ["reader"],
    "specialties": ["dermatology"],
    "sites": None,
}


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with in_process(tmp_path, make_gate=lambda trail: Gate([AsRole()], Refusals(trail))) as running:
        for site in ("north", "south"):
            running.client.post("/api/v1/sites", json={"id": site, "name": site}, headers=OPERATOR)
        yield running


def enter(service: Service, **changes: object) -> dict[str, object]:
    answer = service.client.post("/api/v1/users", json=LI_NA | changes, headers=OPERATOR)
    assert answer.status_code == 201, answer.text
    document: dict[str, object] = answer.json()["user"]
    return document


def change(service: Service, user: object, headers: dict[str, str] = OPERATOR, **changes: object) -> Response:
    answer: Response = service.client.patch(f"/api/v1/users/{user}", json=changes, headers=headers)
    return answer


def changes_of(service: Service, login_name: str) -> list[dict[str, object]]:
    with service.database.reading() as connection:
        details = [
            json.loads(row.details) for row in read_rows(connection) if row.action == "permission-changed"
        ]
    return [one for one in details if one.get("person") == login_name and "after" in one]


def test_somebody_is_entered_with_a_link_that_one_answer_alone_holds(service: Service) -> None:
    answer = service.client.post("/api/v1/users", json=LI_NA, headers=OPERATOR)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    link = answer.json()["password_link"]["path"]
    assert link.startswith("/password?token=")
    user = answer.json()["user"]
    assert (user["login_name"], user["roles"], user["sites"]) == ("li.na", ["reader"], None)
    seen = service.client.get(f"/api/v1/users/{user['id']}", headers=OPERATOR).json()
    assert seen == user
    (entered,) = changes_of(service, "li.na")
    assert entered["before"] is None
    with service.database.reading() as connection:
        assert all(link.rpartition("=")[2] not in row.details for row in read_rows(connection))


def test_a_change_leaves_what_was_and_what_is(service: Service) -> None:
    user = enter(service)["id"]
    answer = change(service, user, roles=["reader", "supervisor"], sites=["north"])
    assert answer.json()["sites"] == ["north"]
    assert answer.json()["name_zh"] == "李娜"
    latest = changes_of(service, "li.na")[-1]
    assert latest["before"] == {"roles": ["reader"], "sites": None}
    assert latest["after"] == {"roles": ["reader", "supervisor"], "sites": ["north"]}
    n_before = len(changes_of(service, "li.na"))
    change(service, user, roles=["supervisor", "reader"])
    assert len(changes_of(service, "li.na")) == n_before  # nothing was changed


def test_what_is_left_out_stays_and_null_takes_away(service: Service) -> None:
    user = enter(service, sites=["north"])["id"]
    assert change(service, user, name_en="Na Li").json()["sites"] == ["north"]
    assert change(service, user, sites=None).json()["sites"] is None
    assert change(service, user, home_site=None).json()["home_site"] is None


def test_the_last_operator_cannot_be_removed_in_any_way(service: Service) -> None:
    only = enter(service, login_name="root.wang", roles=["operator"])["id"]
    attempts: list[dict[str, object]] = [{"active": False}, {"roles": ["reader"]}, {"roles": []}]
    for refused in attempts:
        answer = change(service, only, OPERATOR, **refused)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    second = enter(service, login_name="chen", roles=["operator", "reader"])["id"]
    assert change(service, only, active=False).status_code == 200
    assert change(service, second, roles=["reader"]).status_code == 409
    assert change(service, only, active=True).status_code == 200
    assert change(service, second, roles=["reader"]).status_code == 200


@pytest.mark.parametrize(
    "wanted",
    [
        {"roles": ["operator", "reader"]},
        {"sites": None},
        {"specialties": ["radiology"]},
        {"home_site": "south"},
    ],
)
def test_nobody_changes_what_they_may_do_themselves(service: Service, wanted: dict[str, object]) -> None:
    own = enter(service, login_name="root.wang", roles=["operator"], sites=["north"])["id"]
    headers = OPERATOR | {"x-user": str(own)}
    answer = change(service, own, headers, **wanted)
    assert (answer.status_code, answer.json()["code"]) == (403, "not-allowed")
    assert change(service, own, headers, name_en="Wang Fang").status_code == 200


def test_a_licence_stands_with_who_verified_it_and_when(service: Service) -> None:
    user = enter(service)["id"]
    licence = {"number": "110110000012345", "issuer": "国家卫生健康委员会", "expires_on": "2099-12-31"}
    verified = service.client.put(f"/api/v1/users/{user}/licence", json=licence, headers=OPERATOR)
    known = verified.json()["licence"]
    assert (known["number"], known["verified_by"]) == ("110110000012345", "local")
    assert known["expires_at"] == "2099-12-31T16:00:00Z"  # midnight in China
    assert known["verified_at"] is not None
    latest = changes_of(service, "li.na")[-1]
    assert latest["before"] == {"licence": None}
    removed = service.client.delete(f"/api/v1/users/{user}/licence", headers=OPERATOR)
    assert removed.json()["licence"] is None
    assert changes_of(service, "li.na")[-1]["after"] == {"licence": None}


def test_nobody_vouches_for_their_own_licence(service: Service) -> None:
    own = enter(service, roles=["operator", "reader"])["id"]
    headers = OPERATOR | {"x-user": str(own)}
    licence = {"number": "1", "issuer": "x"}
    assert (
        service.client.put(f"/api/v1/users/{own}/licence", json=licence, headers=headers).status_code == 403
    )
    assert service.client.delete(f"/api/v1/users/{own}/licence", headers=headers).status_code == 403


def test_a_licence_that_is_over_or_incomplete_is_refused(service: Service) -> None:
    path = f"/api/v1/users/{enter(service)['id']}/licence"
    for wrong in ({"number": "1", "issuer": "x", "expires_on": "2020-01-01"}, {"number": " ", "issuer": "x"}):
        assert service.client.put(path, json=wrong, headers=OPERATOR).status_code == 422


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"login_name": "LI.NA"}, 409),
        ({"login_name": "a b"}, 422),
        ({"login_name": "x", "name_zh": "", "name_en": ""}, 422),
        ({"login_name": "chen", "name_zh": " ", "name_en": ""}, 422),
        ({"login_name": "chen", "sites": ["nowhere"]}, 422),
        ({"login_name": "chen", "home_site": "nowhere"}, 422),
        ({"login_name": "chen", "roles": ["emperor"]}, 422),
        ({"login_name": "chen", "is_admin": True}, 422),
    ],
)
def test_somebody_who_cannot_be_is_not_entered(
    service: Service, wrong: dict[str, object], status: int
) -> None:
    enter(service)
    answer = service.client.post("/api/v1/users", json=LI_NA | wrong, headers=OPERATOR)
    assert answer.status_code == status, answer.text


def test_a_supervisor_sees_the_people_of_their_sites_and_changes_nobody(service: Service) -> None:
    ours = enter(service)["id"]
    theirs = enter(service, login_name="chen", home_site="south")["id"]
    seen = service.client.get("/api/v1/users", headers=SUPERVISOR).json()["users"]
    assert [one["id"] for one in seen] == [ours]
    assert service.client.get(f"/api/v1/users/{theirs}", headers=SUPERVISOR).status_code == 404
    assert change(service, ours, SUPERVISOR, active=False).status_code == 403
    assert service.client.post("/api/v1/users", json=LI_NA, headers=SUPERVISOR).status_code == 403


def test_a_link_for_a_new_password_is_made_for_those_who_may_come_in(service: Service) -> None:
    user = enter(service)["id"]
    made = service.client.post(f"/api/v1/users/{user}/password-link", headers=OPERATOR)
    assert (made.status_code, made.headers["Cache-Control"]) == (201, "no-store")
    change(service, user, active=False)
    assert service.client.post(f"/api/v1/users/{user}/password-link", headers=OPERATOR).status_code == 409
    assert service.client.post("/api/v1/users/x/password-link", headers=OPERATOR).status_code == 404


def test_the_program_administers_people(tmp_path: Path) -> None:
    with in_process(tmp_path):
        pass
    (tmp_path / "test.sqlite").rename(tmp_path / "firstread.sqlite")
    run = CliRunner(env={"FIRSTREAD_HOME": str(tmp_path)})

    def admin(*arguments: str) -> str:
        done = run.invoke(app, ["admin", "users", *arguments])
        return done.output if done.exit_code == 0 else f"failed: {done.stderr}"

    created = admin("create", "Li.Na", "--name-zh", "李娜", "--role", "operator", "--site", "local")
    assert "/password?token=" in created
    assert "last operator" in admin("deactivate", "li.na")
    assert "reader,supervisor" in admin(
        "create", "chen", "--name-en", "Chen", "--role", "reader", "--role", "supervisor"
    )
    assert "sees every site" in admin("roles", "chen", "--sees-every-site", "--specialty", "dermatology")
    licence = ("licence", "chen", "--number", "77", "--issuer", "NHC", "--expires", "2099-12-31")
    assert "licence 77 to 2099-12-31" in admin(*licence)
    assert "no licence" in admin("licence", "chen", "--remove")
    assert "needs --number" in admin("licence", "chen")
    assert "kept out" in admin("deactivate", "chen")
    assert "let them in before" in admin("reset-link", "chen")
    assert "active" in admin("activate", "chen")
    assert "/password?token=" in admin("reset-link", "chen")
    assert "chen" in admin("link", "chen", "--subject", "77", "--issuer", "https://login.example")
    again = admin("link", "li.na", "--subject", "77", "--issuer", "https://login.example")
    assert "somebody's already" in again
    assert "issuer and subject" in admin("link", "chen", "--subject", "77")
    assert "There is nobody 'ghost'" in admin("roles", "ghost", "--role", "reader")
    assert len(admin("list").splitlines()) == 2
