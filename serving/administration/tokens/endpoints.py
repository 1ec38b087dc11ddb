"""/api/v1/tokens: makes, lists and ends the tokens by which programs of a site ask."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Response

from serving.administration.reach import administered, require_grantable
from serving.administration.tokens.schemas import NewToken, TokenEntry, TokenList, TokenRequest
from serving.identity.caller import ActingCaller
from serving.identity.tokens import Tokens

TokenKey = Annotated[str, Path(max_length=32, description="The token's id.")]


def build_router(tokens: Tokens) -> APIRouter:
    """Serve `tokens` over HTTP."""
    router = APIRouter(prefix="/api/v1", tags=["administration"])

    @router.post("/tokens", summary="Make a token", status_code=HTTPStatus.CREATED)
    def make_token(asked: TokenRequest, caller: ActingCaller, response: Response) -> NewToken:
        """Make a token for a site; the answer is the only one that holds its secret."""
        require_grantable(caller, asked.scopes)
        made = tokens.make(
            name=asked.name,
            site=asked.site,
            scopes=asked.scopes,
            days=asked.days,
            who=caller.who,
            scope=administered(caller),
        )
        response.headers["Cache-Control"] = "no-store"
        return NewToken.made(made)

    @router.get("/tokens", summary="List tokens")
    def list_tokens(caller: ActingCaller, response: Response) -> TokenList:
        """Give the tokens of the sites that the caller administers, without their secrets."""
        response.headers["Cache-Control"] = "no-store"
        return TokenList(tokens=[TokenEntry.of(token) for token in tokens.all(scope=administered(caller))])

    @router.delete("/tokens/{token}", summary="End a token")
    def revoke_token(token: TokenKey, caller: ActingCaller) -> TokenEntry:
        """End a token at once; it stays in the list, since the audit trail names it."""
        return TokenEntry.of(tokens.revoke(token, who=caller.who, scope=administered(caller)))

    return router
