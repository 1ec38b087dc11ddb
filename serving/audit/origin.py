"""Who asks, and from where, as a request tells."""

from typing import Annotated

from fastapi import Depends, Request

from serving.store.audit_chain import ActorKind, Who

# A name that is given by a header can be any text.
_MOST_OF_A_NAME = 64


def origin_of(
    request: Request,
    kind: ActorKind = ActorKind.ANONYMOUS,
    name: str = "anonymous",
    verified_identity: str | None = None,
) -> Who:
    """Give somebody's line in the trail, with where the request comes from.

    The address is that of the connection: what a header says of other addresses, anyone can write.
    """
    return Who(
        kind,
        name,
        verified_identity,
        address=None if request.client is None else request.client.host,
        request_id=str(request.scope.get("firstread.request_id", ""))[:_MOST_OF_A_NAME] or None,
    )


def acting_person(request: Request) -> Who:
    """Give who acts by a request, as the gate found out (:mod:`serving.identity.gate`)."""
    who = request.scope.get("firstread.who")
    return who if isinstance(who, Who) else origin_of(request)


Acting = Annotated[Who, Depends(acting_person)]
