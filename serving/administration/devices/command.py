"""`firstread admin devices`: which devices may call by DICOM's own network."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the program says --help before it loads a database
    from serving.store.devices import Device

devices = typer.Typer(help="Devices that may call by DICOM's own network.", no_args_is_help=True)

Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]


@devices.command("add")
def add_device(
    title: Annotated[str, typer.Argument(help="The AE title by which it calls, and is called.")],
    *,
    site: Annotated[str, typer.Option(help="Whose it is.")] = "local",
    address: Annotated[
        str, typer.Option(help="Where it is called itself, host:port; without one it only calls.")
    ] = "",
    called_title: Annotated[
        str, typer.Option(help="The title under which it may call; by default the service's own.")
    ] = "",
    services: Annotated[
        str, typer.Option(help="What it may ask for, comma-separated: store, query, retrieve, commit.")
    ] = "store,query,retrieve,commit",
    fingerprint: Annotated[str, typer.Option(help="SHA-256 of the certificate that it must show.")] = "",
    called_by_tls: Annotated[bool, typer.Option("--called-by-tls", help="It is called by TLS.")] = False,
    home: Home = None,
) -> None:
    """Let a device call."""
    from serving.administration.devices.service import Devices
    from serving.administration.opening import administering
    from serving.store.devices import Device

    host, _, port = address.rpartition(":")
    if address and not (host and port.isascii() and port.isdigit()):
        raise typer.BadParameter(f"{address!r} is no host:port", param_hint="--address")
    with administering(home) as (database, trail, who):
        asked = Device(
            site=site,
            title=title.strip(),
            called_title=called_title.strip(),
            host=host.strip("[]"),
            port=int(port) if port else None,
            is_called_by_tls=called_by_tls,
            services=frozenset(one.strip() for one in services.split(",") if one.strip()),
            fingerprint=fingerprint,
        )
        typer.echo(_line(Devices(database, trail).enter(asked, who=who)))


@devices.command("list")
def list_devices(*, home: Home = None) -> None:
    """List the devices that may call."""
    from serving.administration.devices.service import Devices
    from serving.administration.opening import administering
    from serving.identity.caller import EVERY_SITE

    with administering(home) as (database, trail, _):
        for device in Devices(database, trail).all(scope=EVERY_SITE):
            typer.echo(_line(device))


@devices.command("remove")
def remove_device(
    device: Annotated[str, typer.Argument(help="Its title, or its id as the list shows it.")],
    *,
    home: Home = None,
) -> None:
    """Let a device call no more."""
    from serving.administration.devices.service import Devices
    from serving.administration.opening import administering
    from serving.identity.caller import EVERY_SITE

    with administering(home) as (database, trail, who):
        typer.echo(_line(Devices(database, trail).remove(device, who=who, scope=EVERY_SITE)))


def _line(device: "Device") -> str:
    parts = [device.key, device.title, f"site {device.site}", ",".join(sorted(device.services))]
    if device.host:
        parts.append(f"at {device.host}:{device.port}{' (TLS)' if device.is_called_by_tls else ''}")
    if device.called_title:
        parts.append(f"calls {device.called_title}")
    if device.fingerprint:
        parts.append(f"certificate {device.fingerprint}")
    return "  ".join(parts)
