"""The program `firstread`: each verb lives in the room it belongs to and is put together here."""

import sys

import typer

from serving.administration.certificates.command import certificates
from serving.administration.devices.command import devices
from serving.administration.hl7_senders.command import hl7_senders
from serving.administration.people.command import users
from serving.administration.quiet.command import quiet_times
from serving.administration.sites.command import sites
from serving.administration.tokens.command import tokens
from serving.audit.command import audit
from serving.backup.command import backup, restore
from serving.catalogue.command import models
from serving.configuring.command import config
from serving.dimse.command import query, send
from serving.errors import StartError
from serving.exporting.command import export
from serving.hosting.command import ConfigFile, demo, serve, take_config_file
from serving.hosting.worker_command import worker
from serving.housekeeping.command import admin
from serving.housekeeping.quarantine_command import quarantine
from serving.scoring.command import score
from serving.worklist.command import simulate

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(score)
app.command()(serve)
app.command()(worker)
app.command()(demo)
app.command()(simulate)
app.command()(export)
app.command()(send)
app.command()(query)
app.command()(backup)
app.command()(restore)
app.add_typer(models, name="models")
admin.add_typer(tokens, name="tokens")
admin.add_typer(sites, name="sites")
admin.add_typer(quarantine, name="quarantine")
admin.add_typer(users, name="users")
admin.add_typer(certificates, name="certificates")
admin.add_typer(devices, name="devices")
admin.add_typer(quiet_times, name="quiet-times")
admin.add_typer(hl7_senders, name="hl7-senders")
app.add_typer(admin, name="admin")
app.add_typer(audit, name="audit")
app.add_typer(config, name="config")


@app.callback()
def firstread(*, config_file: ConfigFile = None) -> None:
    """Read every incoming study first: score images, order the queue. For prioritisation only."""
    take_config_file(config_file)


def main() -> None:
    """Run the program; what keeps it from starting is told in one sentence."""
    try:
        app()
    except StartError as error:
        typer.echo(f"firstread: {error}", err=True)
        sys.exit(1)
