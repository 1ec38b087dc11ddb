"""`firstread send` and `firstread query`: files to another DICOM program, and what it has."""

import json
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:  # the program says --help before it loads what speaks DICOM
    from pydicom.dataset import Dataset

    from serving.dimse.calling import Calling, Place

To = Annotated[str, typer.Option("--to", help="The receiver: AE title, host and port, as PACS@10.0.0.5:104.")]
From = Annotated[str, typer.Option("--from", help="The AE title that we call by.")]
Tls = Annotated[bool, typer.Option("--tls", help="Call by TLS.")]
Authority = Annotated[
    Path | None,
    typer.Option("--ca", exists=True, dir_okay=False, help="Authorities of its certificate (PEM)."),
]
Certificate = Annotated[
    Path | None, typer.Option("--certificate", exists=True, dir_okay=False, help="Ours, as PEM.")
]
KeyFile = Annotated[Path | None, typer.Option("--key", exists=True, dir_okay=False, help="Its key, as PEM.")]

_PLACE = re.compile(r"([!-\[\]-~]{1,16})@(\[[0-9A-Fa-f:.]+\]|[^:@\s]+):(\d{1,5})")


def send(
    paths: Annotated[list[Path], typer.Argument(exists=True, help="DICOM files, and folders of them.")],
    *,
    to: To,
    calling: From = "FIRSTREAD",
    tls: Tls = False,
    authority: Authority = None,
    certificate: Certificate = None,
    key: KeyFile = None,
) -> None:
    """Send DICOM files by C-STORE; one line each tells what became of it.

    Ends with 0 if the receiver has all of them, with 1 if one could not be sent or was refused, with 2 if
    the receiver could not be reached or let us not in.
    """
    from serving.dimse.errors import DimseError
    from serving.dimse.sending import send as send_files

    place = _place(to)
    caller = _calling(calling, authority, certificate, key)
    n_stored = n_failed = 0
    try:
        for sent in send_files(_files(paths), lambda wanted: caller(place, wanted, is_tls=tls)):
            word = "stored" if sent.is_stored else "failed"
            typer.echo(f"{word}  {sent.path}{f'  {sent.problem}' if sent.problem else ''}")
            n_stored += sent.is_stored
            n_failed += not sent.is_stored
    except DimseError as error:
        typer.echo(f"firstread: {error}", err=True)
        raise typer.Exit(2) from error
    typer.echo(f"{n_stored} stored, {n_failed} failed", err=True)
    if n_failed or not n_stored:
        raise typer.Exit(1)


def query(
    place: Annotated[
        str, typer.Argument(help="Who is asked: AE title, host and port, as PACS@10.0.0.5:104.")
    ],
    keys: Annotated[
        list[str] | None, typer.Argument(help="What must match: PatientID=42 StudyDate=20260101- ...")
    ] = None,
    *,
    level: Annotated[Literal["study", "series", "image"], typer.Option(help="What is asked for.")] = "study",
    as_json: Annotated[bool, typer.Option("--json", help="One DICOM JSON object a line.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="Show so many at most.")] = 1000,
    calling: From = "FIRSTREAD",
    tls: Tls = False,
    authority: Authority = None,
    certificate: Certificate = None,
    key: KeyFile = None,
) -> None:
    """Ask a DICOM program what it has, by C-FIND at study root.

    Ends with 0 if it answered, whatever it has; with 1 if it refused the query, with 2 if it could not be
    reached or let us not in.
    """
    from serving.dimse.asking import FIND_PROPOSALS, ask, identifier_of
    from serving.dimse.errors import DimseError

    pairs = dict(_pair(one) for one in keys or [])
    try:
        asked = identifier_of(level.upper(), pairs)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    caller = _calling(calling, authority, certificate, key)
    try:
        association = caller(_place(place), FIND_PROPOSALS, is_tls=tls)
    except DimseError as error:
        typer.echo(f"firstread: {error}", err=True)
        raise typer.Exit(2) from error
    found: list[Dataset] = []
    is_over = False
    try:
        for hit in ask(association, asked):
            found.append(hit)
            if len(found) == limit:
                break
        else:
            is_over = True
    except DimseError as error:
        typer.echo(f"firstread: {error}", err=True)
        raise typer.Exit(1) from error
    finally:
        if is_over:
            association.release()
        else:
            association.abort()
    _show(found, as_json=as_json, columns=[element.keyword for element in asked])


def _place(text: str) -> "Place":
    from serving.dimse.calling import Place

    found = _PLACE.fullmatch(text)
    if found is None or not 0 < int(found[3]) <= 0xFFFF:
        raise typer.BadParameter(f"{text!r} is not written as AE@host:port")
    return Place(found[1], found[2].strip("[]"), int(found[3]))


def _pair(text: str) -> tuple[str, str]:
    keyword, sign, value = text.partition("=")
    if not keyword or not sign:
        raise typer.BadParameter(f"{text!r} is not written as PatientID=42")
    return keyword, value


def _files(paths: list[Path]) -> list[Path]:
    """Give the files, those of folders in the order of their names; hidden ones are nobody's to send."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (one for one in sorted(path.rglob("*")) if one.is_file())
            found += [one for one in inside if not _is_hidden(one.relative_to(path))]
        else:
            found.append(path)
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _calling(title: str, authority: Path | None, certificate: Path | None, key: Path | None) -> "Calling":
    from serving.dimse.calling import Calling

    if (certificate is None) != (key is None):
        raise typer.BadParameter("--certificate and --key go together")

    def context() -> ssl.SSLContext:
        made = ssl.create_default_context(cafile=None if authority is None else str(authority))
        made.minimum_version = ssl.TLSVersion.TLSv1_2
        if certificate is not None:
            made.load_cert_chain(certificate, key)
        return made

    return Calling(title, tls=context)


def _show(found: "list[Dataset]", *, as_json: bool, columns: list[str]) -> None:
    if as_json:
        for hit in found:
            typer.echo(json.dumps(hit.to_json_dict(), ensure_ascii=False, sort_keys=True))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None)
    shown = [name for name in columns if name not in {"QueryRetrieveLevel", "SpecificCharacterSet"}]
    for name in shown:
        table.add_column(name, overflow="fold")
    for hit in found:
        table.add_row(*(_cell(hit.get(name)) for name in shown))
    Console().print(table)
    typer.echo(f"{len(found)} found", err=True)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return ", ".join(str(one) for one in value) if isinstance(value, list) else str(value)
