"""Devices as the interface speaks of them."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from serving.store.devices import Device, Service

_ALL = tuple(Service)

Title = Annotated[str, Field(min_length=1, max_length=16, description="An AE title.")]


class DeviceView(BaseModel):
    """A device that may call by DICOM's own network."""

    id: str
    site: str = Field(description="Whose it is: what it sends is that site's, and it finds that site's.")
    title: str = Field(description="The AE title by which it calls, and is called.")
    called_title: str = Field(description="The title under which it may call; empty: the service's own.")
    host: str = Field(description="Where it is called itself; empty: it only calls.")
    port: int | None
    called_by_tls: bool
    services: list[Service]
    fingerprint: str = Field(description="SHA-256 of the certificate that it must show; empty: none.")

    @classmethod
    def of(cls, device: Device) -> Self:
        """Describe a device."""
        return cls(
            id=device.key,
            site=device.site,
            title=device.title,
            called_title=device.called_title,
            host=device.host,
            port=device.port,
            called_by_tls=device.is_called_by_tls,
            services=[Service(one) for one in sorted(device.services)],
            fingerprint=device.fingerprint,
        )


class DeviceList(BaseModel):
    """Devices, by title."""

    devices: list[DeviceView]


class NewDeviceRequest(BaseModel):
    """A device that may call from now on."""

    model_config = ConfigDict(extra="forbid")

    site: str = Field(max_length=64)
    title: Title
    called_title: str = Field(default="", max_length=16)
    host: str = Field(default="", max_length=253)
    port: int | None = Field(default=None, ge=1, le=65535)
    called_by_tls: bool = False
    services: list[Service] = Field(default=list(_ALL), min_length=1)
    fingerprint: str = Field(default="", max_length=128)

    def device(self) -> Device:
        """Give it as the service knows it."""
        return Device(
            site=self.site,
            title=self.title.strip(),
            called_title=self.called_title.strip(),
            host=self.host.strip(),
            port=self.port,
            is_called_by_tls=self.called_by_tls,
            services=frozenset(self.services),
            fingerprint=self.fingerprint,
        )
