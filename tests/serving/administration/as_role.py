"""A way in for tests of administration: a header names the role, another the sites."""

from dataclasses import replace

from fastapi import Request

from serving.identity.caller import Caller, Role, local_caller
from serving.store.tenancy import Scope

OPERATOR = {"x-role": "operator"}
SUPERVISOR = {"x-role": "supervisor", "x-sites": "north"}


class AsRole:
    """Takes whoever asks for one of a role; ``x-user`` names the account, where there is one."""

    challenge = None

    def __call__(self, request: Request) -> Caller | None:
        caller = local_caller(request)
        sites = frozenset(request.headers.get("x-sites", "").split())
        return replace(
            caller,
            roles=frozenset({Role(request.headers["x-role"])}),
            scope=Scope(sites),
            home_site=None,
            user=request.headers.get("x-user"),
        )
