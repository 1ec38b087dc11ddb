"""`firstread export`: writes images without their patients."""

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from serving.exporting.service import Exported


class Text(StrEnum):
    """What happens to an image with text in its pixels."""

    REFUSE = "refuse"
    MASK = "mask"


def export(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", exists=True, help="Images and folders of images.")
    ],
    *,
    to: Annotated[Path, typer.Option(file_okay=False, help="Folder for the copies; made if absent.")],
    key_file: Annotated[
        Path, typer.Option(metavar="KEY", help="The project's secret: openssl rand -hex 32 > KEY")
    ],
    deidentified: Annotated[
        bool, typer.Option("--deidentified", help="Without the patient; nothing else is exported.")
    ] = False,
    text: Annotated[Text, typer.Option(help="Images with text in their pixels.")] = Text.REFUSE,
    report: Annotated[
        Path | None,
        typer.Option(dir_okay=False, help="JSON; by default beside the folder, for it names the originals."),
    ] = None,
) -> None:
    """Write de-identified copies (PS3.15 Annex E) of DICOM images and photographs, under pseudonyms.

    Every file is accounted for in the report: written, or refused with a reason. The exit status is 0 also
    where files were refused. Nothing is overwritten. Faces on photographs are not looked for.
    """
    from data.dicom.deidentify import TextPolicy
    from data.dicom.pseudonyms import read_key
    from data.errors import KeyFileError
    from serving.exporting.service import export_each

    if not deidentified:
        raise typer.BadParameter("only de-identified images are exported: say --deidentified")
    told = report or to.with_name(f"{to.name}-report.json")
    if told.exists():
        raise typer.BadParameter(f"{told} exists and is never overwritten; name another by --report")
    try:
        pseudonyms = read_key(key_file)
    except KeyFileError as error:
        typer.echo(f"firstread: {error}", err=True)
        raise typer.Exit(1) from error
    results: list[Exported] = []
    for result in export_each(paths, to, pseudonyms, text=TextPolicy(text.value)):
        results.append(result)
        if result.error is not None:
            typer.echo(f"refused  {result.error}", err=True)
    told.parent.mkdir(parents=True, exist_ok=True)
    with told.open("x", encoding="utf-8") as file:
        json.dump(_report(results, to, pseudonyms.fingerprint), file, ensure_ascii=False, indent=1)
    n_refused = sum(result.error is not None for result in results)
    typer.echo(
        f"{len(results) - n_refused:,} written to {to}, {n_refused:,} refused; report: {told} "
        "(it names the originals: keep it in the house)"
    )


def _report(results: "list[Exported]", to: Path, fingerprint: str) -> dict[str, object]:
    refused: dict[str, int] = {}
    for result in results:
        if result.error is not None:
            refused[result.error.reason] = refused.get(result.error.reason, 0) + 1
    return {
        "key_fingerprint": fingerprint,
        "n_files": len(results),
        "n_written": sum(result.path is not None and not result.was_there for result in results),
        "n_there_already": sum(result.was_there for result in results),
        "n_masked": sum(result.n_masked > 0 for result in results),
        "n_refused": refused,
        "files": [_entry(result, to) for result in results],
    }


def _entry(result: "Exported", to: Path) -> dict[str, object]:
    entry: dict[str, object] = {"source": str(result.source)}
    if result.error is not None:
        return entry | {
            "refused": str(result.error.reason),
            "problem": result.error.problem,
            "remedy": result.error.remedy,
        }
    assert result.path is not None
    return entry | {"file": str(result.path.relative_to(to)), "regions_masked": result.n_masked}
