"""Which sites somebody administers: operators the whole network, supervisors the sites that they see."""

from serving.identity.caller import EVERY_SITE, Caller, Role
from serving.store.tenancy import Scope


def administered(caller: Caller) -> Scope:
    """Give the sites whose people and tokens a caller may change."""
    return EVERY_SITE if Role.OPERATOR in caller.roles else caller.scope
