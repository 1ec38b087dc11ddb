"""`firstread config check | show`: what is set, where, and whether the service could start so."""

import os

import typer

from serving.hosting.command import ConfigFile, one_sentence_on_failure, take_config_file

config = typer.Typer(no_args_is_help=True, help="Check and show the settings.")


@config.command()
def check(*, file: ConfigFile = None) -> None:
    """Try the settings: paths, database, objects, models, port; the exit status is 1 if one will not do.

    Makes nothing and may run beside the service.
    """
    from serving.configuring.trial import tried
    from serving.settings_reading import read_with_origins

    take_config_file(file)
    with one_sentence_on_failure():
        read = read_with_origins()
        typer.echo(f"ok   settings: {len(read.origins)} given, the others by default")
        n_bad = 0
        for one in tried(read.settings, read.origins, os.environ):
            n_bad += not one.is_good
            typer.echo(f"{'ok  ' if one.is_good else 'bad '} {one.what}: {one.detail}")
        if n_bad:
            raise typer.Exit(1)


@config.command()
def show(*, file: ConfigFile = None) -> None:
    """Show every setting and where it stands; what is secret is not shown."""
    from serving.settings import Settings
    from serving.settings_reading import read_with_origins, shown

    take_config_file(file)
    with one_sentence_on_failure():
        read = read_with_origins()
        for name in Settings.model_fields:
            value = shown(name, getattr(read.settings, name))
            typer.echo(f"{name} = {value}  # {read.origins.get(name, 'default')}")
