"""/api/v1/users: who may sign in and as what; operators change it, supervisors see those of their sites."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Response

from serving.administration.people.links import link_path
from serving.administration.people.schemas import (
    EnteredPerson,
    LicenceRequest,
    NewPersonRequest,
    PasswordLink,
    PersonChangeRequest,
    PersonList,
    PersonView,
)
from serving.administration.people.service import Administrator, People
from serving.administration.reach import administered
from serving.identity.caller import ActingCaller, Caller

UserKey = Annotated[str, Path(max_length=32, description="The user's id.")]


def build_router(people: People) -> APIRouter:
    """Serve `people` over HTTP."""
    router = APIRouter(prefix="/api/v1/users", tags=["administration"])

    @router.get("", summary="List people")
    def list_people(caller: ActingCaller) -> PersonList:
        """Give the people whose home is a site that the caller administers, by login name."""
        found = people.all(scope=administered(caller))
        return PersonList(users=[PersonView.of(person) for person in found])

    @router.post("", summary="Enter somebody", status_code=HTTPStatus.CREATED)
    def enter_person(asked: NewPersonRequest, caller: ActingCaller, response: Response) -> EnteredPerson:
        """Enter somebody who may sign in; the answer alone holds the link by which they choose a password."""
        person, token = people.enter(
            asked.login_name,
            name_zh=asked.name_zh,
            name_en=asked.name_en,
            home_site=asked.home_site,
            grants=asked.grants(),
            by=_administrator(caller),
        )
        response.headers["Cache-Control"] = "no-store"
        return EnteredPerson(user=PersonView.of(person), password_link=PasswordLink(path=link_path(token)))

    @router.get("/{user}", summary="See somebody")
    def read_person(user: UserKey, caller: ActingCaller) -> PersonView:
        """Give somebody whose home is a site that the caller administers."""
        return PersonView.of(people.find(user, scope=administered(caller)))

    @router.patch("/{user}", summary="Change somebody")
    def change_person(user: UserKey, asked: PersonChangeRequest, caller: ActingCaller) -> PersonView:
        """Change names, home, roles, specialties, sites, or keep somebody out; not one's own rights."""
        return PersonView.of(people.change(user, asked.change(), by=_administrator(caller)))

    @router.put("/{user}/licence", summary="Verify a licence")
    def verify_licence(user: UserKey, asked: LicenceRequest, caller: ActingCaller) -> PersonView:
        """Write down that the caller checked somebody's licence; not one's own."""
        person = people.verify_licence(
            user,
            number=asked.number,
            issuer=asked.issuer,
            expires_on=asked.expires_on,
            by=_administrator(caller),
        )
        return PersonView.of(person)

    @router.delete("/{user}/licence", summary="Take a licence away")
    def remove_licence(user: UserKey, caller: ActingCaller) -> PersonView:
        """Take a licence away: the person may look, but no more decide."""
        return PersonView.of(people.remove_licence(user, by=_administrator(caller)))

    @router.post("/{user}/password-link", summary="Make a password link", status_code=HTTPStatus.CREATED)
    def make_link(user: UserKey, caller: ActingCaller, response: Response) -> PasswordLink:
        """Make a link by which somebody chooses a new password; an older one loses its use."""
        response.headers["Cache-Control"] = "no-store"
        return PasswordLink(path=link_path(people.make_link(user, by=_administrator(caller))))

    return router


def _administrator(caller: Caller) -> Administrator:
    return Administrator(caller.who, caller.user)
