"""`firstread serve` receives, scores and ranks until it is stopped; `firstread demo` does so with samples."""

import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # the program says --help before it loads a server
    from serving.identity.opening import Identity
    from serving.operations.service import Operations
    from serving.settings import Settings

Host = Annotated[str | None, typer.Option(help="Address to listen on.", envvar="FIRSTREAD_HOST")]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port; 0: any free one.", envvar="FIRSTREAD_PORT")
]
Home = Annotated[
    Path | None, typer.Option(help="Folder of the database and the images.", envvar="FIRSTREAD_HOME")
]
Models = Annotated[
    list[Path] | None,
    typer.Option(exists=True, file_okay=False, help="Folder of models; may be given several times."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=0, max=64, help="Scoring processes; 0: none here.", envvar="FIRSTREAD_WORKERS"),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", dir_okay=False, help="TOML file of settings; else FIRSTREAD_CONFIG names it."),
]
AllowRemote = Annotated[
    bool,
    typer.Option(
        "--allow-remote",
        help="Listen on an address that other machines reach, without TLS: for a proxy in front of it.",
    ),
]
SignIn = Annotated[bool, typer.Option("--sign-in", help="People sign in, as with serve.")]
WithoutSignIn = Annotated[
    bool,
    typer.Option(
        "--without-sign-in", help="Whoever reaches the service may do everything; on this machine only."
    ),
]


def serve(
    *,
    host: Host = None,
    port: Port = None,
    home: Home = None,
    models: Models = None,
    workers: Workers = None,
    allow_remote: AllowRemote = False,
    config: ConfigFile = None,
    without_sign_in: WithoutSignIn = False,
) -> None:
    """Receive studies, score them and order the worklist, until Ctrl-C.

    People sign in; the first start says by which link the first of them sets the service up.
    """
    from serving.hosting.hl7 import hl7_at_work, open_hl7_socket
    from serving.hosting.server import address_of, open_socket, serve_until_stopped
    from serving.hosting.service import running
    from serving.hosting.tls import tls_of
    from serving.telemetry.logs import LogTerms, start_logs

    take_config_file(config)
    with one_sentence_on_failure():
        settings = read_settings(
            host=host, port=port, home=home, models=tuple(models) if models else None, workers=workers
        )
        start_logs(LogTerms(settings.log_format, settings.log_level))
        tls = tls_of(settings)
        listener = open_socket(
            settings.host,
            settings.port,
            allow_remote=allow_remote or tls is not None,
            with_sign_in=not without_sign_in,
        )
        hl7_listener = open_hl7_socket(settings, allow_remote=allow_remote)
        with (
            listener,
            hl7_listener or nullcontext(),  # closed too if the service cannot start
            running(settings, with_sign_in=not without_sign_in) as service,
            hl7_at_work(hl7_listener, service.orders, settings) as hl7_address,
        ):
            address = address_of(listener, is_tls=tls is not None)
            way_in = describe_way_in(
                service.identity, settings.public_url.rstrip("/") + "/" if settings.public_url else address
            )

            def say_ready() -> None:
                typer.echo(way_in)
                typer.echo(f"firstread listens on {address} (home: {settings.home})")
                if service.dicom is not None:
                    typer.echo(f"DICOM devices call {service.dicom.address}")
                if hl7_address is not None:
                    typer.echo(f"orders by HL7: {hl7_address}")
                if service.n_taken_up:
                    typer.echo(f"{service.n_taken_up} studies wait for a score from before")
                say_models(service.operations)

            serve_until_stopped(
                service.app,
                listener,
                on_ready=say_ready,
                seconds_to_stop=settings.seconds_to_stop,
                tls=tls,
            )
    typer.echo("stopped; what was not scored is scored after the next start", err=True)


def demo(
    *,
    port: Port = None,
    home: Home = None,
    models: Models = None,
    workers: Workers = None,
    sign_in: SignIn = False,
) -> None:
    """Start the service with sample studies: real ones from FIRSTREAD_DATASETS, else synthetic.

    Nobody signs in, for it holds samples and only this machine is listened to, unless --sign-in is given.

    What it keeps is forgotten at the end, unless FIRSTREAD_HOME or --home names a folder.
    """
    from serving.errors import StartError
    from serving.hosting.samples import choose_samples
    from serving.hosting.sender import put, send
    from serving.hosting.server import address_of, open_socket, serve_until_stopped
    from serving.hosting.service import running
    from serving.telemetry.logs import LogTerms, start_logs

    with (
        one_sentence_on_failure(),
        tempfile.TemporaryDirectory(prefix="firstread-demo-") as scratch,
    ):
        settings = read_settings(
            port=port,
            home=home or (None if os.environ.get("FIRSTREAD_HOME") else Path(scratch) / "home"),
            models=tuple(models) if models else None,
            workers=workers,
        )
        # whoever tries it out looks for the address, not for a line about each request
        is_stated = "log_level" in settings.model_fields_set
        start_logs(LogTerms(settings.log_format, settings.log_level if is_stated else "warning"))
        try:
            listener = open_socket("127.0.0.1", settings.port, allow_remote=False, with_sign_in=sign_in)
        except StartError:
            if "port" in settings.model_fields_set and port is not None:
                raise
            listener = open_socket("127.0.0.1", 0, allow_remote=False, with_sign_in=sign_in)
        samples = choose_samples(settings.datasets, Path(scratch) / "samples")
        with listener, running(settings, with_sign_in=sign_in) as service:
            address = address_of(listener)
            way_in = describe_way_in(
                service.identity, settings.public_url.rstrip("/") + "/" if settings.public_url else address
            )

            def send_samples() -> None:
                try:
                    n_studies = sum(
                        put(service.intake, sample) if sign_in else send(address, sample)
                        for sample in samples.studies
                    )
                except OSError as error:
                    typer.echo(f"the samples could not all be sent: {error}", err=True)
                else:
                    typer.echo(f"{n_studies} studies were sent; open {address}")

            def say_ready() -> None:
                typer.echo(way_in)
                typer.echo(f"firstread listens on {address} (home: {settings.home})")
                say_models(service.operations)
                typer.echo(f"samples: {samples.description}")
                threading.Thread(target=send_samples, name="samples", daemon=True).start()

            serve_until_stopped(
                service.app, listener, on_ready=say_ready, seconds_to_stop=settings.seconds_to_stop
            )
    typer.echo("stopped", err=True)


@contextmanager
def one_sentence_on_failure() -> Iterator[None]:
    """End the program in good order on Ctrl-C and SIGTERM, and with one sentence if it cannot start."""
    from serving.errors import StartError

    stop_on_sigterm()
    try:
        yield
    except StartError as error:
        typer.echo(f"firstread: {error}", err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("stopped before it had started", err=True)
        raise typer.Exit(130) from None


def take_config_file(file: Path | None) -> None:
    """Let this process, and those it starts, read their settings from `file` too."""
    if file is not None:
        os.environ["FIRSTREAD_CONFIG"] = str(file.absolute())


def read_settings(**given: object) -> "Settings":
    """Read the settings from environment and files, with what the command line gives before them.

    Raises
    ------
    StartError
        If a value is not one the setting takes; names the setting and where it stands.
    """
    from serving.settings_reading import read_settings as read

    return read(**given)


def stop_on_sigterm() -> None:
    """Let SIGTERM end the program as Ctrl-C does: in good order."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def describe_way_in(identity: "Identity", address: str) -> str:
    """Say how people come in: the first by a link that is made here, or nobody is asked who they are."""
    from serving.audit.opening import operator

    if identity.accounts is None:
        return "without sign-in: whoever reaches this address may see and do everything"
    token = identity.accounts.links.for_set_up(operator())
    if token is None:
        return f"people sign in at {address}sign-in"
    return (
        f"nobody has an account yet; set the service up at {address}set-up?token={token} (once, within 24 h; "
        "firstread admin setup-link makes another)"
    )


def say_models(operations: "Operations") -> None:
    """Say which models score, and which may not."""
    labels = [artifact.label for artifact in operations.models()]
    if labels:
        typer.echo(f"models: {', '.join(labels)}")
    else:
        typer.echo("no model: studies are queued unscored (name a folder by --models)")
    for refused in operations.refused_models():
        typer.echo(f"refused: {refused}", err=True)
