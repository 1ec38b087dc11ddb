"""What each role may do: one row for every address of the service, and nothing without a row.

The table is asked in one place (:mod:`serving.identity.gate`); ``firstread admin permissions --markdown``
writes it down. A caller needs one of the row's roles; which sites' rows they see then is up to their scope.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from serving.identity.caller import Caller, Role, Stage, TokenScope

Address: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may use an address.

    `stages`: also those who have come no further than that. `is_public`: everybody, signed in or not, and
    nobody is asked who they are. `needs_licence`: an act of reading, for which the caller's licence must be
    verified and not expired. `checks_csrf_itself`: its form is read as it streams, so the token of its page
    is checked where the form is taken. `token_scope`: what an API token must be good for; None: no token
    opens this.
    """

    roles: frozenset[Role] = frozenset()
    stages: frozenset[Stage] = frozenset()
    is_public: bool = False
    needs_licence: bool = False
    checks_csrf_itself: bool = False
    token_scope: TokenScope | None = None

    def allows(self, caller: Caller) -> bool:
        """Whether one of the caller's roles is enough and, if they are a token, it is good for this."""
        if caller.token_scopes is not None and self.token_scope not in caller.token_scopes:
            return self.is_public
        return self.is_public or bool(self.roles & caller.roles) or caller.stage in self.stages


PUBLIC: Final = Rule(is_public=True)


def _only(
    *roles: Role,
    stages: Collection[Stage] = (),
    needs_licence: bool = False,
    checks_csrf_itself: bool = False,
    token_scope: TokenScope | None = None,
) -> Rule:
    return Rule(
        frozenset(roles),
        frozenset(stages),
        needs_licence=needs_licence,
        checks_csrf_itself=checks_csrf_itself,
        token_scope=token_scope,
    )


_SENDERS = (Role.UPLOADER, Role.SUPERVISOR, Role.SERVICE)
_PEOPLE = tuple(role for role in Role if role is not Role.SERVICE)
_CLINICIANS = (Role.UPLOADER, Role.READER, Role.SUPERVISOR)
_ADMINISTRATORS = (Role.OPERATOR, Role.SUPERVISOR)
_FRAME = "/api/v1/studies/{study}/instances/{sop_instance_uid}/frames/{frame}"

_QUARANTINE = "/api/v1/quarantine"

_WEB = "/dicom-web/studies"
_SERIES = f"{_WEB}/{{study}}/series/{{series}}"
_INSTANCE = f"{_SERIES}/instances/{{instance}}"
_FRAMES = f"{_INSTANCE}/frames/{{frames}}"
_READ_BY_DICOMWEB = (
    *(f"/dicom-web/{what}" for what in ("studies", "series", "instances")),
    *(f"{_WEB}/{{study}}/{what}" for what in ("series", "instances")),
    f"{_SERIES}/instances",
    *(f"{_WEB}/{{study}}{part}" for part in ("", "/metadata", "/rendered", "/thumbnail")),
    *(f"{_SERIES}{part}" for part in ("", "/metadata", "/rendered", "/thumbnail")),
    *(
        f"{_INSTANCE}{part}"
        for part in ("", "/metadata", "/rendered", "/thumbnail", "/bulkdata/{value:path}")
    ),
    *(f"{_FRAMES}{part}" for part in ("", "/rendered", "/thumbnail")),
    "/wado",
)

PERMISSIONS: Final[Mapping[Address, Rule]] = {
    # studies and the queue
    ("POST", "/api/v1/studies"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    ("OPTIONS", "/api/v1/uploads"): PUBLIC,  # what the service can do, the same for everybody
    ("POST", "/api/v1/uploads"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    **{
        (method, "/api/v1/uploads/{upload}"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD)
        for method in ("GET", "PATCH", "DELETE")  # one's own alone, whatever the role
    },
    ("GET", "/api/v1/uploads/batches/{batch}"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    ("POST", "/api/v1/uploads/batches/{batch}/complete"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    ("GET", "/api/v1/worklist"): _only(*_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ),
    ("GET", "/api/v1/studies/{study}"): _only(*_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ),
    ("GET", f"{_FRAME}/rendered"): _only(*_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ),
    ("GET", f"{_FRAME}/thumbnail"): _only(*_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ),
    ("GET", "/api/v1/studies/{study}/consent"): _only(
        *_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ
    ),
    ("PUT", "/api/v1/studies/{study}/consent"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    ("POST", "/api/v1/studies/{study}/complete"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    ("GET", "/api/v1/studies/{study}/arrival"): _only(
        *_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ
    ),
    # reading: acts of readers, who need a licence; who holds what is no secret
    ("POST", "/api/v1/worklist/next"): _only(Role.READER, needs_licence=True),
    ("POST", "/api/v1/studies/{study}/claim"): _only(Role.READER, needs_licence=True),
    ("POST", "/api/v1/studies/{study}/claim/renew"): _only(Role.READER, needs_licence=True),
    ("DELETE", "/api/v1/studies/{study}/claim"): _only(Role.READER),
    ("POST", "/api/v1/studies/{study}/claim/take-over"): _only(Role.SUPERVISOR),
    ("GET", "/api/v1/studies/{study}/claim"): _only(*_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ),
    ("GET", "/api/v1/claims"): _only(Role.READER),
    ("GET", "/api/v1/studies/{study}/read"): _only(Role.READER),
    ("PUT", "/api/v1/studies/{study}/read"): _only(Role.READER, needs_licence=True),
    ("POST", "/api/v1/studies/{study}/read/sign"): _only(Role.READER, needs_licence=True),
    ("GET", "/api/v1/studies/{study}/reads"): _only(*_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ),
    ("POST", "/api/v1/studies/{study}/rank"): _only(Role.SUPERVISOR),
    ("GET", "/api/v1/discrepancies"): _only(Role.READER, Role.SUPERVISOR, Role.OPERATOR),
    ("GET", "/api/v1/codes"): _only(*_PEOPLE, Role.SERVICE, token_scope=TokenScope.READ),
    # the same by the standard
    **{
        ("GET", path): _only(*_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ)
        for path in _READ_BY_DICOMWEB
    },
    ("POST", _WEB): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    ("POST", f"{_WEB}/{{study}}"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    # their pages
    ("GET", "/"): _only(*_CLINICIANS),
    ("GET", "/studies/{study}"): _only(*_CLINICIANS),
    ("POST", "/studies/{study}/consent"): _only(Role.UPLOADER, Role.SUPERVISOR),
    ("POST", "/next"): _only(Role.READER, needs_licence=True),
    ("POST", "/studies/{study}/claim"): _only(Role.READER, needs_licence=True),
    ("POST", "/studies/{study}/release"): _only(Role.READER),
    ("POST", "/studies/{study}/read"): _only(Role.READER, needs_licence=True),
    ("POST", "/studies/{study}/complete"): _only(Role.UPLOADER, Role.SUPERVISOR),
    ("POST", "/send"): _only(Role.UPLOADER, Role.SUPERVISOR, checks_csrf_itself=True),
    # what could not be taken, of the sites that the caller sees
    ("GET", _QUARANTINE): _only(*_ADMINISTRATORS),
    ("POST", f"{_QUARANTINE}/retry"): _only(*_ADMINISTRATORS),
    ("POST", f"{_QUARANTINE}/discard"): _only(*_ADMINISTRATORS),
    ("POST", f"{_QUARANTINE}/purge"): _only(Role.OPERATOR),
    ("GET", f"{_QUARANTINE}/{{entry}}"): _only(*_ADMINISTRATORS),
    ("GET", f"{_QUARANTINE}/{{entry}}/rendered"): _only(*_ADMINISTRATORS),
    ("POST", f"{_QUARANTINE}/{{entry}}/corrections"): _only(*_ADMINISTRATORS),
    ("POST", f"{_QUARANTINE}/{{entry}}/retry"): _only(*_ADMINISTRATORS),
    ("POST", f"{_QUARANTINE}/{{entry}}/discard"): _only(*_ADMINISTRATORS),
    ("GET", "/quarantine"): _only(*_ADMINISTRATORS),
    ("GET", "/quarantine/{entry}"): _only(*_ADMINISTRATORS),
    ("POST", "/quarantine/{entry}/corrections"): _only(*_ADMINISTRATORS),
    ("POST", "/quarantine/{entry}/retry"): _only(*_ADMINISTRATORS),
    ("POST", "/quarantine/{entry}/discard"): _only(*_ADMINISTRATORS),
    # orders
    ("POST", "/fhir/ServiceRequest"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    ("PUT", "/fhir/ServiceRequest/{order}"): _only(*_SENDERS, token_scope=TokenScope.UPLOAD),
    ("GET", "/fhir/ServiceRequest"): _only(*_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ),
    ("GET", "/fhir/ServiceRequest/{order}"): _only(*_CLINICIANS, Role.SERVICE, token_scope=TokenScope.READ),
    ("GET", "/fhir/metadata"): PUBLIC,  # the same for every installation
    # people; supervisors see those of their sites
    ("GET", "/api/v1/users"): _only(*_ADMINISTRATORS),
    ("POST", "/api/v1/users"): _only(Role.OPERATOR),
    ("GET", "/api/v1/users/{user}"): _only(*_ADMINISTRATORS),
    ("PATCH", "/api/v1/users/{user}"): _only(Role.OPERATOR),
    ("PUT", "/api/v1/users/{user}/licence"): _only(Role.OPERATOR),
    ("DELETE", "/api/v1/users/{user}/licence"): _only(Role.OPERATOR),
    ("POST", "/api/v1/users/{user}/password-link"): _only(Role.OPERATOR),
    # sites; supervisors see their own
    ("GET", "/api/v1/sites"): _only(*_ADMINISTRATORS),
    ("POST", "/api/v1/sites"): _only(Role.OPERATOR),
    ("PATCH", "/api/v1/sites/{site}"): _only(Role.OPERATOR),
    # how long studies are waited for; supervisors set it for their sites
    ("GET", "/api/v1/quiet-times"): _only(*_ADMINISTRATORS),
    ("PUT", "/api/v1/quiet-times"): _only(*_ADMINISTRATORS),
    # devices that call by DICOM's own network; supervisors see those of their sites
    ("GET", "/api/v1/devices"): _only(*_ADMINISTRATORS),
    ("POST", "/api/v1/devices"): _only(Role.OPERATOR),
    ("DELETE", "/api/v1/devices/{device}"): _only(Role.OPERATOR),
    # tokens, of their own sites for supervisors
    ("POST", "/api/v1/tokens"): _only(*_ADMINISTRATORS),
    ("GET", "/api/v1/tokens"): _only(*_ADMINISTRATORS),
    ("DELETE", "/api/v1/tokens/{token}"): _only(*_ADMINISTRATORS),
    # signing in and one's own account
    ("GET", "/sign-in"): PUBLIC,
    ("POST", "/sign-in"): PUBLIC,
    ("GET", "/sign-in/second-factor"): _only(stages=[Stage.SECOND_FACTOR]),
    ("POST", "/sign-in/second-factor"): _only(stages=[Stage.SECOND_FACTOR]),
    ("POST", "/sign-out"): _only(*_PEOPLE, stages=tuple(Stage)),
    ("GET", "/sign-in/openid"): PUBLIC,
    ("GET", "/sign-in/openid/callback"): PUBLIC,  # what the provider says is the proof
    ("GET", "/sign-out/openid"): PUBLIC,  # leads to the provider, and ends nothing here
    ("GET", "/set-up"): PUBLIC,  # the link is the proof, here and for a new password
    ("POST", "/set-up"): PUBLIC,
    ("GET", "/password"): PUBLIC,
    ("POST", "/password"): PUBLIC,
    ("GET", "/account"): _only(*_PEOPLE),
    ("POST", "/account/password"): _only(*_PEOPLE),
    ("GET", "/account/second-factor"): _only(*_PEOPLE, stages=[Stage.ENROLMENT]),
    ("POST", "/account/second-factor"): _only(*_PEOPLE, stages=[Stage.ENROLMENT]),
    ("POST", "/account/second-factor/remove"): _only(*_PEOPLE),
    ("POST", "/account/sessions/end"): _only(*_PEOPLE),
    ("GET", "/api/v1/me"): _only(*Role, token_scope=TokenScope.READ),
    # scoring
    ("GET", "/api/v1/operations/scoring"): _only(*_CLINICIANS, Role.OPERATOR),
    ("POST", "/api/v1/operations/scoring/pause"): _only(Role.OPERATOR),
    ("POST", "/api/v1/operations/scoring/resume"): _only(Role.OPERATOR),
    ("GET", "/api/v1/operations/workers"): _only(Role.OPERATOR),
    ("GET", "/api/v1/operations/stuck"): _only(Role.OPERATOR, Role.SUPERVISOR),
    ("POST", "/api/v1/operations/studies/{study}/retry"): _only(Role.OPERATOR, Role.SUPERVISOR),
    # the service itself
    ("GET", "/healthz"): PUBLIC,  # asked by load balancers, which sign in nowhere
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): _only(Role.OPERATOR, Role.SERVICE, token_scope=TokenScope.METRICS),
    ("GET", "/assets/{name}"): PUBLIC,  # style and script of the page to sign in, too
    ("GET", "/api/v1/openapi.json"): PUBLIC,  # the same for every installation
}


def unlisted(addresses: Iterable[Address], table: Mapping[Address, Rule] = PERMISSIONS) -> list[Address]:
    """Give the addresses that have no row."""
    return sorted(set(addresses) - set(table))
