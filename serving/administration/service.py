"""What can be administered, put together for the interface."""

from dataclasses import dataclass

from serving.administration.devices.service import Devices
from serving.administration.people.service import People
from serving.administration.quiet.service import QuietTimes
from serving.administration.sites.service import Sites
from serving.identity.tokens import Tokens


@dataclass(frozen=True)
class Administration:
    """The parts."""

    tokens: Tokens
    sites: Sites
    people: People
    devices: Devices
    quiet_times: QuietTimes
