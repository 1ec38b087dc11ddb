"""Grants what may be done on an association: as little as is asked for, and only what a device may."""

from collections.abc import Collection, Mapping

from serving.dimse.association import Context
from serving.dimse.classes import (
    COMMITMENT,
    OF_IDENTIFIERS,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    storage_classes,
    transfer_syntaxes,
)
from serving.dimse.pdu import Answer, Grant, Proposal, Request, Roles
from serving.store.devices import Service

Offer = Mapping[str, Collection[str]]
"""The transfer syntaxes that are taken, by class."""

_IDENTIFIERS = frozenset(OF_IDENTIFIERS)


def offer_to(services: Collection[str]) -> Offer:
    """Give what a device may propose.

    Who retrieves by C-GET proposes the storage classes too: it is sent instances on its own association.
    """
    offer: dict[str, Collection[str]] = {VERIFICATION: _IDENTIFIERS}
    if Service.STORE in services or Service.RETRIEVE in services:
        syntaxes = transfer_syntaxes()
        offer |= dict.fromkeys(storage_classes(), syntaxes)
    if Service.QUERY in services:
        offer[STUDY_FIND] = _IDENTIFIERS
    if Service.RETRIEVE in services:
        offer |= {STUDY_MOVE: _IDENTIFIERS, STUDY_GET: _IDENTIFIERS}
    if Service.COMMIT in services:
        offer[COMMITMENT] = _IDENTIFIERS
    return offer


def granted(request: Request, offer: Offer) -> tuple[Grant, ...]:
    """Answer each proposal; of several transfer syntaxes the first is taken that the sender named.

    So what is compressed comes as it is: the sender names first what it need not convert.
    """
    return tuple(_answered(one, offer) for one in request.proposals)


def roles_of(request: Request, offer: Offer) -> dict[str, Roles]:
    """Grant the roles asked for, for classes that are offered."""
    return {uid: roles for uid, roles in request.roles.items() if uid in offer}


def contexts_of(proposals: Collection[Proposal], grants: Collection[Grant]) -> dict[int, Context]:
    """Give what was accepted, by number."""
    abstracts = {one.number: one.abstract for one in proposals}
    return {
        one.number: Context(one.number, abstracts[one.number], one.syntax)
        for one in grants
        if one.answer is Answer.ACCEPTED and one.number in abstracts
    }


def _answered(proposal: Proposal, offer: Offer) -> Grant:
    taken = offer.get(proposal.abstract)
    if taken is None:
        return Grant(proposal.number, Answer.NO_SUCH_CLASS, proposal.syntaxes[0])
    for syntax in proposal.syntaxes:
        if syntax in taken:
            return Grant(proposal.number, Answer.ACCEPTED, syntax)
    return Grant(proposal.number, Answer.NO_SUCH_SYNTAX, proposal.syntaxes[0])
