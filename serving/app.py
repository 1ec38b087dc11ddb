"""Builds the application; the one place where its parts are put together."""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Request
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.telemetry import TelemetryConfig
from starlette.types import ASGIApp

from serving.administration import endpoints as administration_endpoints
from serving.administration.service import Administration
from serving.bodies import Bounds, RequestLimits
from serving.consents import endpoints as consents_endpoints
from serving.consents.service import Consents
from serving.dicomweb import (
    render_endpoints,
    retrieve_endpoints,
    search_endpoints,
    store_endpoints,
    uri_endpoints,
)
from serving.dicomweb.service import DicomWeb
from serving.errors import Problem, ServiceError
from serving.forwarding import Forwarding
from serving.identity import endpoints as identity_endpoints
from serving.identity.description import describe_proofs
from serving.identity.gate import Gate
from serving.identity.own_account import OwnAccounts
from serving.identity.permissions import PERMISSIONS, PUBLIC, Address, Rule
from serving.identity.proxies import TrustedProxies
from serving.identity.renewed_proof import RenewedProof
from serving.intake import completion_endpoints
from serving.intake import endpoints as intake_endpoints
from serving.intake.service import Intake
from serving.operations import control_endpoints
from serving.operations import endpoints as operations_endpoints
from serving.operations.control import ScoringControl
from serving.operations.service import Operations
from serving.orders import endpoints as orders_endpoints
from serving.orders.fhir import FhirOrders
from serving.problems import RESPONSES, answer_with_problems
from serving.protection import Protection
from serving.quarantine import endpoints as quarantine_endpoints
from serving.quarantine.service import Quarantine
from serving.reading import (
    claim_endpoints,
    code_endpoints,
    learning_endpoints,
    rank_endpoints,
    read_endpoints,
)
from serving.reading.claims import Claims
from serving.reading.learning import Learning
from serving.reading.overriding import Overriding
from serving.reading.reads import Reads
from serving.studies import endpoints as studies_endpoints
from serving.studies.service import Studies
from serving.telemetry.access import Access
from serving.telemetry.figures import RequestFigures
from serving.telemetry.traces import NO_TRACES, Traces
from serving.throttling import Buckets, Throttle, refuse_too_many
from serving.uploads import batch_endpoints
from serving.uploads import endpoints as upload_endpoints
from serving.uploads.overriding import TusManners
from serving.uploads.service import Uploads
from serving.web import account, links, sign_in
from serving.web import completing as completing_page
from serving.web import endpoints as web_endpoints
from serving.web import openid as openid_pages
from serving.web import quarantine as quarantine_pages
from serving.web import reading as reading_pages
from serving.web.pages import Pages
from serving.web.refusals import page_of_refusal
from serving.web.study_page import StudyPage
from serving.worklist import endpoints as worklist_endpoints
from serving.worklist.service import Worklist

if TYPE_CHECKING:  # Authlib is loaded where there is a provider
    from serving.identity.openid.service import OpenIdSignIn


async def refuse_foreign_pages(request: Request) -> None:
    """Refuse a change that the page of another site has a reader's browser ask for.

    Without sign-in, any page open in that browser could put studies into the queue. Browsers say where a
    request comes from (Fetch Metadata), older ones and those that speak plain http at least the origin;
    programs that are no browser do not, and are not meant.
    """
    foreign = request.headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.url.netloc.lower():
        foreign = True
    if foreign and request.method not in {"GET", "HEAD"}:
        raise ServiceError(
            Problem.FOREIGN_PAGE,
            "The request comes from the page of another site: send the images from this service's own page, "
            "or by a program.",
        )


def refuse_unknown_hosts(names: Collection[str]) -> Callable[[Request], Awaitable[None]]:
    """Make the check that a request names this service by an address, localhost, or one of `names`.

    A page can have its own name lead to this machine (DNS rebinding); its browser then takes the worklist
    for that page's own. The name that such a request carries gives it away.
    """
    known = {"localhost", *(name.lower() for name in names)}

    async def refuse_unknown_host(request: Request) -> None:
        name = (request.url.hostname or "").lower()
        if name not in known and not _is_address(name):
            raise ServiceError(
                Problem.UNKNOWN_HOST,
                f"This service is not known as {name!r}: open it by its address, or have the operator add "
                "the name to FIRSTREAD_HOST_NAMES.",
            )

    return refuse_unknown_host


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


# FastAPI's own would send addresses as they were asked for, and texts of errors, to wherever the environment
# says. Ours: serving.telemetry.
_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}

# Routes that read their body as it comes, under limits of their own.
_STREAMED = (
    ("POST", "/api/v1/studies"),
    ("POST", "/send"),
    ("POST", "/dicom-web/studies"),
    ("POST", "/dicom-web/studies/"),
    ("POST", "/api/v1/uploads"),
    ("PATCH", "/api/v1/uploads/"),
)


@dataclass(frozen=True)
class Manners:
    """What holds for every route: how much and how fast may be asked, whose word counts, figures."""

    limits: RequestLimits = field(default_factory=RequestLimits)
    buckets: Buckets = field(default_factory=lambda: Buckets(per_s=0.0, burst=1.0))
    caller_buckets: Buckets = field(default_factory=lambda: Buckets(per_s=0.0, burst=1.0))
    proxies: TrustedProxies = field(default_factory=TrustedProxies)
    figures: RequestFigures = field(default_factory=RequestFigures)
    traces: Traces = NO_TRACES


class _Application(FastAPI):
    """Wraps the answers to faults too, which Starlette gives outside of what is added to an application."""

    manners = Manners()
    table: Mapping[Address, Rule] = PERMISSIONS

    def openapi(self) -> dict[str, Any]:
        """Describe the interface, with the proofs and roles that each operation takes."""
        return describe_proofs(super().openapi(), self.table)

    def build_middleware_stack(self) -> ASGIApp:
        """Put the layers around the routes, the innermost first."""
        bounded = Bounds(super().build_middleware_stack(), self.manners.limits, streamed=_STREAMED)
        throttled = Throttle(bounded, self.manners.buckets)
        spoken_for = Protection(Access(throttled, self.manners.figures.observe, self.manners.traces))
        return Forwarding(TusManners(spoken_for), proxies=self.manners.proxies)


def create_app(
    *,
    intake: Intake,
    uploads: Uploads,
    worklist: Worklist,
    studies: Studies,
    consents: Consents,
    claims: Claims,
    reads: Reads,
    overriding: Overriding,
    learning: Learning,
    dicomweb: DicomWeb,
    quarantine: Quarantine,
    orders: FhirOrders,
    operations: Operations,
    administration: Administration,
    gate: Gate,
    control: ScoringControl,
    accounts: OwnAccounts | None = None,
    openid: "OpenIdSignIn | None" = None,
    host_names: Collection[str] = (),
    manners: Manners | None = None,
) -> FastAPI:
    """Build the application around its parts.

    `host_names` are those under which it may be reached.

    Without `accounts` there are no pages to sign in.

    Raises
    ------
    ValueError
        If an address has no row in the table of permissions.
    """
    manners = manners or Manners()
    app = _Application(
        title="firstread",
        summary="Receives studies, scores them and orders the worklist. For prioritisation only.",
        version=metadata.version("firstread"),
        responses=RESPONSES,
        docs_url=None,  # its page takes scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
        telemetry=_NO_TELEMETRY,
        dependencies=[
            Depends(refuse_unknown_hosts(host_names)),
            Depends(refuse_foreign_pages),
            Depends(gate.admit),
            Depends(refuse_too_many(manners.caller_buckets)),
            Depends(gate.check_page_token),
        ],
    )
    app.manners = manners
    app.table = gate.table
    pages = Pages()
    answer_with_problems(app, page=page_of_refusal(pages))
    app.include_router(intake_endpoints.build_router(intake))
    app.include_router(upload_endpoints.build_router(uploads))
    app.include_router(batch_endpoints.build_router(uploads))
    app.include_router(completion_endpoints.build_router(intake))
    app.include_router(worklist_endpoints.build_router(worklist))
    app.include_router(studies_endpoints.build_router(studies))
    app.include_router(consents_endpoints.build_router(consents))
    app.include_router(claim_endpoints.build_router(claims))
    proof = RenewedProof(accounts, reads.terms.proof_s)
    app.include_router(read_endpoints.build_router(reads, proof))
    app.include_router(code_endpoints.build_router(reads.codes))
    app.include_router(rank_endpoints.build_router(overriding))
    app.include_router(learning_endpoints.build_router(learning))
    app.include_router(operations_endpoints.build_router(operations, manners.figures.registry))
    app.include_router(store_endpoints.build_router(intake))
    app.include_router(search_endpoints.build_router(dicomweb))
    app.include_router(retrieve_endpoints.build_router(dicomweb))
    app.include_router(render_endpoints.build_router(dicomweb))
    app.include_router(uri_endpoints.build_router(dicomweb))
    app.include_router(orders_endpoints.build_router(orders, version=app.version))
    app.include_router(control_endpoints.build_router(control))
    app.include_router(quarantine_endpoints.build_router(quarantine))
    app.include_router(quarantine_pages.build_router(pages, quarantine))
    study_page = StudyPage(pages, studies, consents, reads)
    app.include_router(
        web_endpoints.build_router(
            pages,
            intake=intake,
            worklist=worklist,
            consents=consents,
            operations=operations,
            gate=gate,
            study_page=study_page,
        )
    )
    app.include_router(reading_pages.build_router(study_page, claims, reads, proof))
    app.include_router(completing_page.build_router(pages, intake))
    for router in administration_endpoints.build_routers(administration):
        app.include_router(router)
    app.include_router(identity_endpoints.build_router())
    if accounts is not None:
        app.include_router(
            sign_in.build_router(pages, accounts, provider=None if openid is None else openid.label)
        )
        app.include_router(openid_pages.build_router(pages, openid))
        app.include_router(links.build_router(pages, accounts))
        app.include_router(account.build_router(pages, accounts))
    refuse_addresses_without_rule(app, gate)
    return app


def addresses(app: FastAPI) -> Iterator[tuple[Address, bool]]:
    """Give every address of an application, and whether its requests pass the application's dependencies."""
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        # the gate goes by the path that a route was made with: a prefix belongs on its own router
        passes = isinstance(route, APIRoute) and route.path == context.path
        for method in sorted(context.methods or {"*"}):
            if method != "HEAD":  # asked as GET (serving.protection)
                yield (method, str(context.path)), passes


def refuse_addresses_without_rule(app: FastAPI, gate: Gate) -> None:
    """Refuse to build an application that has an address nobody has thought about."""
    for address, passes in addresses(app):
        rule = gate.table.get(address)
        if rule is None:
            raise ValueError(f"{address} has no row in serving/identity/permissions.py")
        if not passes and rule != PUBLIC:
            raise ValueError(f"{address} does not pass the gate, so its row cannot be but PUBLIC")
