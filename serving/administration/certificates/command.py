"""`firstread admin certificates`: whose a client's certificate is."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the program says --help before it loads a database
    from serving.store.client_certificates import OwnedCertificate

certificates = typer.Typer(help="Certificates that clients show.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]


@certificates.command("add")
def add_certificate(
    *,
    subject: Annotated[
        str | None, typer.Option(help="Its distinguished name; a renewed certificate stays the same one.")
    ] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Its SHA-256.")] = None,
    file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Itself, as PEM.")] = None,
    user: Annotated[str | None, typer.Option(help="Whose it is: a login name.")] = None,
    token: Annotated[str | None, typer.Option(help="Whose rights it has: a token's id.")] = None,
    home: Home = None,
) -> None:
    """Say whose a certificate is."""
    from serving.administration.certificates.service import Certificates, Named
    from serving.administration.opening import administering

    with administering(home) as (database, trail, who):
        named = Named.of(subject=subject, fingerprint=fingerprint, file=file)
        entered = Certificates(database, trail).enter(named, user=user, token=token, who=who)
    typer.echo(_line(entered))


@certificates.command("list")
def list_certificates(*, home: Home = None) -> None:
    """List whose certificates are known."""
    from serving.administration.certificates.service import Certificates
    from serving.administration.opening import administering

    with administering(home) as (database, trail, _):
        for certificate in Certificates(database, trail).all():
            typer.echo(_line(certificate))


@certificates.command("remove")
def remove_certificate(
    key: Annotated[str, typer.Argument(help="Its id, as the list shows it.")], *, home: Home = None
) -> None:
    """Let a certificate be nobody's from now on."""
    from serving.administration.certificates.service import Certificates
    from serving.administration.opening import administering

    with administering(home) as (database, trail, who):
        typer.echo(_line(Certificates(database, trail).remove(key, who=who)))


def _line(certificate: "OwnedCertificate") -> str:
    owner = f"user {certificate.login_name}" if certificate.login_name else f"token {certificate.token_key}"
    return f"{certificate.key}  {owner}  {certificate.kind} {certificate.value}"
