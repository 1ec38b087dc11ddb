"""Which sites somebody administers: operators the whole network, supervisors the sites that they see."""

from collections.abc import Collection

from serving.errors import Problem, ServiceError
from serving.identity.caller import EVERY_SITE, Caller, Role, TokenScope
from serving.store.tenancy import Scope


def administered(caller: Caller) -> Scope:
    """Give the sites whose people and tokens a caller may change."""
    return EVERY_SITE if Role.OPERATOR in caller.roles else caller.scope


def require_grantable(caller: Caller, scopes: Collection[TokenScope]) -> None:
    """Refuse that somebody gives a token what they may not do themselves: figures are of the whole service.

    Raises
    ------
    ServiceError
        `NOT_ALLOWED`.
    """
    if TokenScope.METRICS in scopes and Role.OPERATOR not in caller.roles:
        raise ServiceError(Problem.NOT_ALLOWED, "A token for the service's figures is an operator's to make.")
