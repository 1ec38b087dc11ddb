"""Who asks, and from where, as a request tells."""

from typing import Annotated

from fastapi import Depends, Request

from serving.store.audit_chain import ActorKind, Who

# A name that is given by a header can be any text.
_MOST_OF_A_NAME = 64


def acting_person(request: Request) -> Who:
    """Give who acts by a request; as long as nobody signs in, nobody is known.

    The address is that of the connection: what a header says of other addresses, anyone can write.
    """
    return Who(
        ActorKind.ANONYMOUS,
        "anonymous",
        address=None if request.client is None else request.client.host,
        request_id=str(request.scope.get("firstread.request_id", ""))[:_MOST_OF_A_NAME] or None,
    )


Acting = Annotated[Who, Depends(acting_person)]
