"""Sites as the interface speaks of them."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from serving.store.sites import Site

Name = Annotated[str, Field(min_length=1, max_length=200)]


class SiteView(BaseModel):
    """A site of the network."""

    id: str = Field(description="Never changes: studies, tokens and the trail name it.")
    name: str

    @classmethod
    def of(cls, site: Site) -> Self:
        """Describe a site."""
        return cls(id=site.id, name=site.name)


class SiteList(BaseModel):
    """Sites, by id."""

    sites: list[SiteView]


class NewSiteRequest(BaseModel):
    """A site that is to be."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")
    name: Name


class SiteChangeRequest(BaseModel):
    """Another name for a site."""

    model_config = ConfigDict(extra="forbid")

    name: Name
