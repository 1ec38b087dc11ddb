"""/api/v1/devices: which devices may call by DICOM's own network; operators enter and remove them."""

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path

from serving.administration.devices.schemas import DeviceList, DeviceView, NewDeviceRequest
from serving.administration.devices.service import Devices
from serving.administration.reach import administered
from serving.identity.caller import ActingCaller

DeviceKey = Annotated[str, Path(max_length=32, description="The device's id or its title.")]


def build_router(devices: Devices) -> APIRouter:
    """Serve `devices` over HTTP."""
    router = APIRouter(prefix="/api/v1/devices", tags=["administration"])

    @router.get("", summary="List devices")
    def list_devices(caller: ActingCaller) -> DeviceList:
        """Give the devices of the sites that the caller administers, by title."""
        return DeviceList(devices=[DeviceView.of(one) for one in devices.all(scope=administered(caller))])

    @router.post("", summary="Enter a device", status_code=HTTPStatus.CREATED)
    def enter_device(asked: NewDeviceRequest, caller: ActingCaller) -> DeviceView:
        """Let a device call, as one of a site."""
        return DeviceView.of(devices.enter(asked.device(), who=caller.who))

    @router.delete("/{device}", summary="Remove a device")
    def remove_device(device: DeviceKey, caller: ActingCaller) -> DeviceView:
        """Let a device call no more; what it sent stays."""
        return DeviceView.of(devices.remove(device, who=caller.who, scope=administered(caller)))

    return router
