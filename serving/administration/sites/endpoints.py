"""/api/v1/sites: the sites of the network; operators make and rename them."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path

from serving.administration.reach import administered
from serving.administration.sites.schemas import NewSiteRequest, SiteChangeRequest, SiteList, SiteView
from serving.administration.sites.service import Sites
from serving.identity.caller import ActingCaller

SiteKey = Annotated[str, Path(max_length=64, description="The site's id.")]


def build_router(sites: Sites) -> APIRouter:
    """Serve `sites` over HTTP."""
    router = APIRouter(prefix="/api/v1/sites", tags=["administration"])

    @router.get("", summary="List sites")
    def list_sites(caller: ActingCaller) -> SiteList:
        """Give the sites that the caller administers, by id."""
        return SiteList(sites=[SiteView.of(site) for site in sites.all(scope=administered(caller))])

    @router.post("", summary="Make a site", status_code=HTTPStatus.CREATED)
    def make_site(asked: NewSiteRequest, caller: ActingCaller) -> SiteView:
        """Make a site; its id stands in studies and in the trail, and never changes."""
        return SiteView.of(sites.make(asked.id, asked.name, who=caller.who))

    @router.patch("/{site}", summary="Rename a site")
    def rename_site(site: SiteKey, asked: SiteChangeRequest, caller: ActingCaller) -> SiteView:
        """Give a site another name."""
        return SiteView.of(sites.rename(site, asked.name, who=caller.who))

    return router
