"""People as the interface speaks of them."""

from datetime import date, datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from serving.administration.people.service import Change
from serving.identity.caller import Role
from serving.store.people import Grants, Person
from serving.store.tenancy import Scope
from serving.store.times import from_us

Name = Annotated[str, Field(max_length=100)]
SiteId = Annotated[str, Field(max_length=64)]
Specialties = Annotated[frozenset[Annotated[str, Field(min_length=1, max_length=32)]], Field(max_length=50)]
Sites = Annotated[frozenset[SiteId], Field(max_length=10_000)]


class LicenceView(BaseModel):
    """A licence, and who checked it when."""

    number: str
    issuer: str
    expires_at: datetime | None = Field(description="null: it does not expire.")
    verified_at: datetime
    verified_by: str


class PersonView(BaseModel):
    """Somebody who may sign in."""

    id: str
    login_name: str
    name_zh: str
    name_en: str
    active: bool
    home_site: str | None = Field(description="The site that what they send belongs to.")
    roles: list[Role]
    specialties: list[str]
    sites: list[str] | None = Field(description="Whose studies they see; null: the whole network's.")
    licence: LicenceView | None

    @classmethod
    def of(cls, person: Person) -> Self:
        """Describe somebody."""
        licence, sites = person.licence, person.grants.scope.sites
        return cls(
            id=person.key,
            login_name=person.login_name,
            name_zh=person.name_zh,
            name_en=person.name_en,
            active=person.is_active,
            home_site=person.home_site,
            roles=sorted(Role(role) for role in person.grants.roles),
            specialties=sorted(person.grants.specialties),
            sites=None if sites is None else sorted(sites),
            licence=None
            if licence is None
            else LicenceView(
                number=licence.number,
                issuer=licence.issuer,
                expires_at=None if licence.expires_at_us is None else from_us(licence.expires_at_us),
                verified_at=from_us(licence.verified_at_us),
                verified_by=licence.verified_by,
            ),
        )


class PersonList(BaseModel):
    """People, by login name."""

    users: list[PersonView]


class NewPersonRequest(BaseModel):
    """Who is to be entered."""

    model_config = ConfigDict(extra="forbid")

    login_name: Annotated[str, Field(min_length=2, max_length=64)]
    name_zh: Name = ""
    name_en: Name = ""
    home_site: SiteId | None = None
    roles: frozenset[Role] = frozenset()
    specialties: Specialties = frozenset()
    sites: Sites | None = Field(
        default=frozenset(), description="Whose studies they see; null: the whole network's."
    )

    def grants(self) -> Grants:
        """Give what they may do."""
        return Grants(frozenset(str(role) for role in self.roles), self.specialties, Scope(self.sites))


class PersonChangeRequest(BaseModel):
    """What is to be changed; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    name_zh: Name | None = None
    name_en: Name | None = None
    home_site: SiteId | None = Field(default=None, description="null: none; left out: as before.")
    active: bool | None = None
    roles: frozenset[Role] | None = None
    specialties: Specialties | None = None
    sites: Sites | None = Field(default=None, description="null: the whole network's; left out: as before.")

    def change(self) -> Change:
        """Say it in the service's words."""
        return Change(
            name_zh=self.name_zh,
            name_en=self.name_en,
            home_site=self.home_site if "home_site" in self.model_fields_set else "",
            is_active=self.active,
            roles=self.roles,
            specialties=self.specialties,
            scope=Scope(self.sites) if "sites" in self.model_fields_set else None,
        )


class LicenceRequest(BaseModel):
    """A licence that was checked."""

    model_config = ConfigDict(extra="forbid")

    number: Annotated[str, Field(min_length=1, max_length=100)]
    issuer: Annotated[str, Field(min_length=1, max_length=200)]
    expires_on: date | None = Field(default=None, description="Its last day; null: it does not expire.")


class PasswordLink(BaseModel):
    """A link by which somebody chooses a password; works once."""

    path: str = Field(description="Behind the service's own address; hand it to that person alone.")


class EnteredPerson(BaseModel):
    """Somebody who was entered just now."""

    user: PersonView
    password_link: PasswordLink
