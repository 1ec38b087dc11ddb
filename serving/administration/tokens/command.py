"""`firstread admin tokens`: makes, lists and ends the tokens by which programs of a site ask."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from serving.identity.caller import TokenScope

if TYPE_CHECKING:  # the program says --help before it loads a database
    from serving.store.api_tokens import ApiToken

tokens = typer.Typer(help="Tokens by which programs of a site ask.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]


@tokens.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for, such as the sending machine's name.")],
    *,
    site: Annotated[str, typer.Option(help="Whose studies it sends and sees.")],
    scope: Annotated[list[TokenScope], typer.Option(help="What it is good for; may be given several times.")],
    days: Annotated[int, typer.Option(min=1, help="How long it is good.")] = 365,
    home: Home = None,
) -> None:
    """Make a token and print its secret, which is shown this once.

    The secret goes to standard output alone, so that it can be led into a file or a vault.
    """
    from serving.administration.opening import administering
    from serving.identity.caller import EVERY_SITE
    from serving.identity.tokens import Tokens

    with administering(home) as (database, trail, who):
        made = Tokens(database, trail).make(
            name=name, site=site, scopes=frozenset(scope), days=days, who=who, scope=EVERY_SITE
        )
    typer.echo(_line(made.token), err=True)
    typer.echo("Its secret, which is shown this once:", err=True)
    typer.echo(made.secret)


@tokens.command("list")
def list_tokens(
    *,
    site: Annotated[str | None, typer.Option(help="Of this site alone.")] = None,
    home: Home = None,
) -> None:
    """List tokens, the newest first, without their secrets."""
    from serving.administration.opening import administering
    from serving.identity.caller import EVERY_SITE
    from serving.identity.tokens import Tokens
    from serving.store.tenancy import Scope

    with administering(home) as (database, trail, _):
        scope = EVERY_SITE if site is None else Scope(frozenset({site}))
        for token in Tokens(database, trail).all(scope=scope):
            typer.echo(_line(token))


@tokens.command("revoke")
def revoke_token(
    key: Annotated[str, typer.Argument(help="The token's id, as the list shows it.")], *, home: Home = None
) -> None:
    """End a token at once."""
    from serving.administration.opening import administering
    from serving.identity.caller import EVERY_SITE
    from serving.identity.tokens import Tokens

    with administering(home) as (database, trail, who):
        typer.echo(_line(Tokens(database, trail).revoke(key, who=who, scope=EVERY_SITE)))


def _line(token: "ApiToken") -> str:
    from serving.store.times import from_us

    def day(at_us: int | None) -> str:
        return "never" if at_us is None else f"{from_us(at_us):%Y-%m-%d %H:%M}"

    state = (
        f"revoked {day(token.revoked_at_us)}" if token.revoked_at_us else f"until {day(token.expires_at_us)}"
    )
    scopes = ",".join(sorted(token.scopes))
    return f"{token.key}  {token.site}  {scopes}  {state}  used {day(token.last_used_at_us)}  {token.name}"
