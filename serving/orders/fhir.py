"""Takes and shows orders as FHIR R4 ServiceRequests."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from serving.errors import Problem, ServiceError
from serving.orders.service import Orders, Wanted
from serving.orders.service_request import order_of, read_resource
from serving.orders.traces import viewed_orders
from serving.outcomes import FhirRefusedError, Issue
from serving.store.audit_chain import Who
from serving.store.orders import Order, StoredOrder, find_order, find_orders, turns_of
from serving.store.tenancy import NETWORK, Scope

if TYPE_CHECKING:  # the database has one home, the store
    from sqlalchemy import Connection

_MOST_FOUND = 100


@dataclass(frozen=True, slots=True)
class Token:
    """A number to search by, and whose it is: None if that does not matter, empty if it must be nobody's."""

    system: str | None
    value: str

    @classmethod
    def of(cls, text: str) -> "Token":
        """Read a search parameter of type token.

        Examples
        --------
        >>> Token.of("http://his|7"), Token.of("7"), Token.of("|7")
        (Token(system='http://his', value='7'), Token(system=None, value='7'), Token(system='', value='7'))
        """
        system, bar, value = text.rpartition("|")
        return cls(system if bar else None, value)

    def is_of(self, order: Order) -> bool:
        """Whether an order has this number."""
        numbers = ((order.accession, order.accession_system), (order.placer, order.placer_system))
        return any(
            value == self.value and self.system in {None, system} for value, system in numbers if value
        )


@dataclass(frozen=True)
class FhirOrders:
    """Orders as a FHIR client sees them."""

    orders: Orders

    def create(
        self, body: bytes, *, if_none_exist: str | None, site: str, who: Who
    ) -> tuple[StoredOrder, bool]:
        """Take a new order, unless one of the number in `if_none_exist` is there; says whether it is new.

        Raises
        ------
        ServiceError
            If the resource will not do; `CONFLICT` if its numbers are those of an order that is there,
            `PRECONDITION_FAILED` if several orders have the number.
        """
        token = None if if_none_exist is None else _condition(if_none_exist)
        try:
            order = order_of(read_resource(body), sender=who.name)
        except FhirRefusedError as error:
            self.orders.note_refusal(error.problem, site=site, who=who)
            raise
        there: list[StoredOrder] = []

        def decide(connection: "Connection") -> Sequence[Wanted] | None:
            if token is not None:
                there.extend(_found(connection, token, Scope.of(site)))
                if len(there) > 1:
                    raise _failed_condition("several orders have the number of If-None-Exist")
                if there:
                    return None
            _refuse_taken(connection, order, site=site, but=None)
            return [Wanted(order, None)]

        names = turns_of(site, accession=order.accession, placer=order.placer)
        if token is not None:
            names += turns_of(site, accession=token.value, placer=token.value)
        taken = self.orders.take(names, decide, site=site, who=who)
        return (taken[0].stored, True) if taken else (there[0], False)

    def update(self, key: str, body: bytes, *, if_match: str | None, scope: Scope, who: Who) -> StoredOrder:
        """Change an order to what is given.

        Raises
        ------
        ServiceError
            `NOT_FOUND`; `PRECONDITION_FAILED` if it is of another version than `if_match`; or it will not do.
        """
        with self.orders.database.reading() as connection:
            before = _one(connection, key, scope)
        try:
            request = read_resource(body)
            if request.id != key:
                text = "The resource's id is not the one in the address."
                issue = Issue("invariant", text, "ServiceRequest.id")
                raise FhirRefusedError(Problem.INVALID_RESOURCE, [issue])
            order = order_of(request, sender=who.name)
        except FhirRefusedError as error:
            self.orders.note_refusal(error.problem, site=before.site, who=who)
            raise

        def decide(connection: "Connection") -> Sequence[Wanted]:
            known = _one(connection, key, scope)
            if if_match is not None and if_match.strip() not in {etag_of(known), "*"}:
                raise _failed_condition(f"the order is of version {known.version} by now")
            _refuse_taken(connection, order, site=known.site, but=key)
            return [Wanted(order, known)]

        names = [
            name
            for one in (before.order, order)
            for name in turns_of(before.site, accession=one.accession, placer=one.placer)
        ]
        return self.orders.take(names, decide, site=before.site, who=who)[0].stored

    def find(self, key: str, *, scope: Scope, who: Who) -> StoredOrder:
        """Give an order, and note that it was shown.

        Raises
        ------
        ServiceError
            `NOT_FOUND` if there is none of that key in the scope.
        """
        with self.orders.database.reading() as connection:
            found = _one(connection, key, scope)
        self.orders.trail.note(viewed_orders([found], site=found.site, who=who, at_us=self.orders.clock()))
        return found

    def search(self, identifier: str, *, scope: Scope, site: str | None, who: Who) -> list[StoredOrder]:
        """Give the orders that have a number, at most a hundred, and note that they were shown."""
        with self.orders.database.reading() as connection:
            found = _found(connection, Token.of(identifier), scope)[:_MOST_FOUND]
        self.orders.trail.note(viewed_orders(found, site=site or NETWORK, who=who, at_us=self.orders.clock()))
        return found


def etag_of(stored: StoredOrder) -> str:
    """Give the tag of an order's version."""
    return f'W/"{stored.version}"'


def _one(connection: "Connection", key: str, scope: Scope) -> StoredOrder:
    found = find_order(connection, scope=scope, order_key=key)
    if found is None:
        raise ServiceError(Problem.NOT_FOUND, "There is no such ServiceRequest.")
    return found


def _found(connection: "Connection", token: Token, scope: Scope) -> list[StoredOrder]:
    if not token.value:
        return []
    every = find_orders(connection, scope=scope, accession=token.value)
    every += find_orders(connection, scope=scope, placer=token.value)
    return list({one.key: one for one in every if token.is_of(one.order)}.values())


def _refuse_taken(connection: "Connection", order: Order, *, site: str, but: str | None) -> None:
    found = find_orders(connection, scope=Scope.of(site), accession=order.accession, placer=order.placer)
    if any(one.key != but for one in found):
        raise FhirRefusedError(
            Problem.CONFLICT,
            [
                Issue(
                    "duplicate",
                    f"ServiceRequest/{found[0].key} has these numbers already: change that one.",
                    "ServiceRequest.identifier",
                )
            ],
        )


def _condition(query: str) -> Token:
    pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True)
    if len(pairs) != 1 or pairs[0][0] != "identifier" or not Token.of(pairs[0][1]).value:
        raise FhirRefusedError(
            Problem.BAD_PARAMETER,
            [Issue("not-supported", "If-None-Exist takes one identifier: identifier=system|value.")],
        )
    return Token.of(pairs[0][1])


def _failed_condition(why: str) -> ServiceError:
    return ServiceError(Problem.PRECONDITION_FAILED, f"Nothing was changed: {why}.")
