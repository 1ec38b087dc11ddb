"""GET /wado: one instance or one picture of it by query parameters, WADO-URI (PS3.18 9)."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from serving.dicomweb.addresses import AWish
from serving.dicomweb.media import DICOM, Wanted
from serving.dicomweb.rendering import answer_with_pictures
from serving.dicomweb.retrieving import Asked, answer_with_objects
from serving.dicomweb.service import DicomWeb, Place
from serving.dicomweb.viewport import Look, read_look
from serving.errors import Problem, ServiceError
from serving.identity.caller import ActingCaller


def build_router(dicomweb: DicomWeb) -> APIRouter:
    """Serve the stored instances by WADO-URI."""
    router = APIRouter(tags=["dicomweb"])

    @router.get("/wado", summary="Retrieve an instance by its UIDs", response_class=Response)
    def retrieve_by_uri(
        *,
        caller: ActingCaller,
        wish: AWish,
        study: Annotated[str, Query(alias="studyUID", max_length=128)],
        series: Annotated[str, Query(alias="seriesUID", max_length=128)],
        instance: Annotated[str, Query(alias="objectUID", max_length=128)],
        request_type: Annotated[str, Query(alias="requestType", max_length=16)] = "WADO",
        content_type: Annotated[str, Query(alias="contentType", max_length=256)] = "image/jpeg",
        transfer_syntax: Annotated[str | None, Query(alias="transferSyntax", max_length=64)] = None,
        frame: Annotated[int, Query(alias="frameNumber", ge=1, le=1_000_000)] = 1,
        rows: Annotated[int | None, Query(ge=1, le=8192)] = None,
        columns: Annotated[int | None, Query(ge=1, le=8192)] = None,
        window_centre: Annotated[str | None, Query(alias="windowCenter", max_length=32)] = None,
        window_width: Annotated[str | None, Query(alias="windowWidth", max_length=32)] = None,
        quality: Annotated[str | None, Query(alias="imageQuality", max_length=8)] = None,
    ) -> Response:
        """Give the instance as application/dicom, or a frame as JPEG, PNG or WebP."""
        if request_type != "WADO":
            raise ServiceError(
                Problem.BAD_PARAMETER, f"The parameter 'requestType' is {request_type!r}: it must be WADO."
            )
        place = Place(study, series, instance)
        kinds = [one.strip().lower() for one in content_type.split(",")]
        if DICOM in kinds:
            images = dicomweb.find(place, caller=caller, what="instances")
            one = Wanted(DICOM, is_multipart=False, syntax=transfer_syntax)
            return answer_with_objects(images, Asked(wish.base_url, (one,), dicomweb.objects))
        wanted = tuple(Wanted(kind, is_multipart=False) for kind in kinds)
        look = _look(window_centre, window_width, quality, (columns, rows))
        images = dicomweb.find(place, caller=caller, what="rendered", frames=[frame])
        asked = Asked(wish.base_url, wanted, dicomweb.objects)
        return answer_with_pictures(images, (frame,), look, asked, dicomweb.renderer)

    return router


def _look(
    centre: str | None, width: str | None, quality: str | None, size: tuple[int | None, int | None]
) -> Look:
    if (centre is None) != (width is None):
        raise ServiceError(
            Problem.BAD_PARAMETER, "The parameters 'windowCenter' and 'windowWidth' go together."
        )
    columns, rows = size
    largest = 8192
    viewport = None if columns is None and rows is None else f"{columns or largest},{rows or largest}"
    return read_look(None if centre is None else f"{centre},{width}", viewport, quality)
