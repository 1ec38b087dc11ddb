"""/fhir: orders as FHIR R4 ServiceRequests, and what of FHIR is understood."""

import json
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from serving.errors import Problem, ServiceError
from serving.identity.caller import ActingCaller, ActingSite
from serving.orders.capability import capability_statement
from serving.orders.fhir import FhirOrders, etag_of
from serving.orders.service_request import resource_of
from serving.outcomes import MEDIA_TYPE
from serving.store.orders import StoredOrder

_TAKEN = {MEDIA_TYPE, "application/json"}
_GIVEN = {*_TAKEN, "json", "*/*", "application/*", ""}

OrderKey = Annotated[str, Path(max_length=64, description="The resource's id.")]
IfNoneExist = Annotated[str | None, Header(description="identifier=system|value: make none if one is there.")]
IfMatch = Annotated[str | None, Header(description="The ETag of the version that is changed.")]
Identifier = Annotated[str | None, Query(max_length=256, description="system|value, or value.")]
Format = Annotated[str | None, Query(alias="_format", max_length=64)]

_RESOURCE: dict[str, Any] = {
    "type": "object",
    "required": ["resourceType"],
    "properties": {"resourceType": {"type": "string"}},
    "description": "A resource of FHIR R4.",
}
_SENT: dict[str, Any] = {"requestBody": {"required": True, "content": {MEDIA_TYPE: {"schema": _RESOURCE}}}}
_FOUND: dict[int | str, dict[str, Any]] = {
    status: {"description": text, "content": {MEDIA_TYPE: {"schema": _RESOURCE}}}
    for status, text in (
        (200, "The resource."),
        ("4XX", "An OperationOutcome: the request could not be met."),
        ("5XX", "An OperationOutcome: the server could not meet the request."),
    )
}
_MADE = _FOUND | {201: {"description": "It is new.", "content": {MEDIA_TYPE: {"schema": _RESOURCE}}}}


async def body_of(request: Request) -> bytes:
    """Give the body of a resource that is sent.

    Raises
    ------
    ServiceError
        `UNSUPPORTED_MEDIA_TYPE` if it is said to be something else.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind not in _TAKEN:
        raise ServiceError(Problem.UNSUPPORTED_MEDIA_TYPE, f"Resources are taken as {MEDIA_TYPE}.")
    return await request.body()


def as_fhir(request: Request, given: Format = None) -> None:
    """Refuse to answer in a form that the client does not take.

    Raises
    ------
    ServiceError
        `NOT_ACCEPTABLE`.
    """
    accepted = request.headers.get("accept", "") if given is None else given.replace(" ", "+")
    kinds = {one.partition(";")[0].strip().lower() for one in accepted.split(",")}
    if not kinds & _GIVEN:
        raise ServiceError(Problem.NOT_ACCEPTABLE, f"Resources are given as {MEDIA_TYPE}.")


Body = Annotated[bytes, Depends(body_of)]


def build_router(orders: FhirOrders, *, version: str) -> APIRouter:
    """Serve `orders` as FHIR does."""
    router = APIRouter(
        prefix="/fhir", tags=["fhir"], dependencies=[Depends(as_fhir)], default_response_class=Response
    )

    @router.get("/metadata", summary="What is understood of FHIR", responses=_FOUND)
    def read_capabilities(request: Request) -> Response:
        """Give the CapabilityStatement."""
        return _answer(capability_statement(version, base=_base(request)))

    @router.post(
        "/ServiceRequest",
        summary="Order",
        status_code=HTTPStatus.CREATED,
        responses=_MADE,
        openapi_extra=_SENT,
    )
    def create_order(
        *,
        request: Request,
        body: Body,
        caller: ActingCaller,
        site: ActingSite,
        if_none_exist: IfNoneExist = None,
    ) -> Response:
        """Take an order for the caller's site; with If-None-Exist, give the one that is there."""
        stored, is_new = orders.create(body, if_none_exist=if_none_exist, site=site, who=caller.who)
        return _resource(request, stored, HTTPStatus.CREATED if is_new else HTTPStatus.OK)

    @router.get("/ServiceRequest", summary="Find orders by a number", responses=_FOUND)
    def search_orders(request: Request, caller: ActingCaller, identifier: Identifier = None) -> Response:
        """Give the orders that have an accession or placer's number."""
        if identifier is None:
            raise ServiceError(Problem.BAD_PARAMETER, "Orders are found by identifier=system|value.")
        found = orders.search(identifier, scope=caller.scope, site=caller.home_site, who=caller.who)
        entries = [
            {
                "fullUrl": f"{_base(request)}/ServiceRequest/{one.key}",
                "resource": resource_of(one),
                "search": {"mode": "match"},
            }
            for one in found
        ]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "total": len(entries)}
        return _answer(bundle | ({"entry": entries} if entries else {}))

    @router.get("/ServiceRequest/{order}", summary="Read an order", responses=_FOUND)
    def read_order(request: Request, order: OrderKey, caller: ActingCaller) -> Response:
        """Give an order, whichever way it came."""
        return _resource(request, orders.find(order, scope=caller.scope, who=caller.who), HTTPStatus.OK)

    @router.put("/ServiceRequest/{order}", summary="Change an order", responses=_FOUND, openapi_extra=_SENT)
    def update_order(
        *, request: Request, order: OrderKey, body: Body, caller: ActingCaller, if_match: IfMatch = None
    ) -> Response:
        """Change an order to what is given; a study that it counts for may move forward, never back."""
        stored = orders.update(order, body, if_match=if_match, scope=caller.scope, who=caller.who)
        return _resource(request, stored, HTTPStatus.OK)

    return router


def _base(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/fhir"


def _resource(request: Request, stored: StoredOrder, status: HTTPStatus) -> Response:
    answer = _answer(resource_of(stored), status)
    answer.headers["ETag"] = etag_of(stored)
    if status is HTTPStatus.CREATED:
        answer.headers["Location"] = f"{_base(request)}/ServiceRequest/{stored.key}/_history/{stored.version}"
    return answer


def _answer(resource: dict[str, Any], status: HTTPStatus = HTTPStatus.OK) -> Response:
    content = json.dumps(resource, ensure_ascii=False).encode()
    return Response(content, status, media_type=MEDIA_TYPE, headers={"Cache-Control": "no-store"})
