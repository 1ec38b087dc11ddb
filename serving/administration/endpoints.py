"""Everything that is administered by HTTP."""

from fastapi import APIRouter

from serving.administration.devices import endpoints as device_endpoints
from serving.administration.people import endpoints as people_endpoints
from serving.administration.quiet import endpoints as quiet_endpoints
from serving.administration.service import Administration
from serving.administration.sites import endpoints as site_endpoints
from serving.administration.tokens import endpoints as token_endpoints


def build_routers(administration: Administration) -> list[APIRouter]:
    """Serve `administration` over HTTP; a list, since an address is looked up by its own router's path."""
    return [
        token_endpoints.build_router(administration.tokens),
        site_endpoints.build_router(administration.sites),
        people_endpoints.build_router(administration.people),
        device_endpoints.build_router(administration.devices),
        quiet_endpoints.build_router(administration.quiet_times),
    ]
