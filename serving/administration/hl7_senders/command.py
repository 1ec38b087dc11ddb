"""`firstread admin hl7-senders`: whose HL7 messages are taken, and for which site."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the program says --help before it loads a database
    from serving.store.hl7_senders import Hl7Sender

hl7_senders = typer.Typer(help="Systems whose orders are taken by HL7.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]


@hl7_senders.command("add")
def add_hl7_sender(
    *,
    site: Annotated[str, typer.Option(help="Whose orders it sends.")],
    network: Annotated[str, typer.Option(help="Address or network it sends from, such as 10.1.2.0/24.")],
    application: Annotated[str, typer.Option(help="MSH-3 of its messages; any, if not given.")] = "",
    facility: Annotated[str, typer.Option(help="MSH-4 of its messages; any, if not given.")] = "",
    charset: Annotated[
        str, typer.Option(help="What its text is written in, whatever MSH-18 says: GBK, UTF-8, 8859/1 ...")
    ] = "",
    accession: Annotated[
        str, typer.Option(help="Where its accession number stands; IPC-1,OBR-18,OBR-3,ORC-3 if not given.")
    ] = "",
    home: Home = None,
) -> None:
    """Let a system send orders for one site."""
    from serving.administration.hl7_senders.service import Hl7Senders
    from serving.administration.opening import administering
    from serving.store.hl7_senders import Hl7Sender

    with administering(home) as (database, trail, who):
        sender = Hl7Sender("", site, network, application, facility, charset, accession)
        typer.echo(_line(Hl7Senders(database, trail).enter(sender, who=who)))


@hl7_senders.command("list")
def list_hl7_senders(*, home: Home = None) -> None:
    """List the systems that may send."""
    from serving.administration.hl7_senders.service import Hl7Senders
    from serving.administration.opening import administering

    with administering(home) as (database, trail, _):
        for sender in Hl7Senders(database, trail).all():
            typer.echo(_line(sender))


@hl7_senders.command("remove")
def remove_hl7_sender(
    key: Annotated[str, typer.Argument(help="Its id, as the list shows it.")], *, home: Home = None
) -> None:
    """Let a system send no more; what it ordered stays."""
    from serving.administration.hl7_senders.service import Hl7Senders
    from serving.administration.opening import administering

    with administering(home) as (database, trail, who):
        typer.echo(_line(Hl7Senders(database, trail).remove(key, who=who)))


def _line(sender: "Hl7Sender") -> str:
    name = f"{sender.application or '*'}@{sender.facility or '*'}"
    more = "".join(f"  {part}" for part in (sender.charset, sender.accession) if part)
    return f"{sender.key}  {sender.site}  {sender.network}  {name}{more}"
