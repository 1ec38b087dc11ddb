"""GET /dicom-web/studies/...: objects, metadata, frames and bulk data by WADO-RS (PS3.18 10.4)."""

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from serving.dicomweb.addresses import (
    OF_FRAMES,
    OF_INSTANCE,
    OF_SERIES,
    OF_STUDY,
    ROOT,
    AWish,
    FrameList,
    Instance,
    Series,
    Study,
    Wish,
    read_frames,
)
from serving.dicomweb.retrieving import (
    Asked,
    answer_with_bulk_data,
    answer_with_frames,
    answer_with_metadata,
    answer_with_objects,
)
from serving.dicomweb.service import DicomWeb, Place
from serving.identity.caller import ActingCaller, Caller

BulkPath = Annotated[str, Path(max_length=1024, description="Tags and item numbers.")]

_OBJECTS: dict[int | str, dict[str, Any]] = {
    200: {"content": {'multipart/related; type="application/dicom"': {}}, "description": "The instances."}
}
_METADATA: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"application/dicom+json": {}, 'multipart/related; type="application/dicom+xml"': {}},
        "description": "All but the bulk data.",
    }
}
_FRAMES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {'multipart/related; type="application/octet-stream"': {}},
        "description": "Uncompressed or coded.",
    }
}


def build_router(dicomweb: DicomWeb) -> APIRouter:
    """Serve the stored studies by WADO-RS."""
    router = APIRouter(prefix=ROOT, tags=["dicomweb"])

    def asked(wish: Wish) -> Asked:
        return Asked(wish.base_url, wish.wanted, dicomweb.objects)

    def objects(place: Place, caller: Caller, wish: Wish) -> Response:
        return answer_with_objects(dicomweb.find(place, caller=caller, what="instances"), asked(wish))

    def metadata(place: Place, caller: Caller, wish: Wish) -> Response:
        return answer_with_metadata(dicomweb.find(place, caller=caller, what="metadata"), asked(wish))

    @router.get(OF_STUDY, summary="Retrieve a study", response_class=Response, responses=_OBJECTS)
    def retrieve_study(*, study: Study, caller: ActingCaller, wish: AWish) -> Response:
        """Give the instances as they are stored, or in the transfer syntax that is asked for."""
        return objects(Place(study), caller, wish)

    @router.get(
        f"{OF_STUDY}/metadata", summary="Retrieve metadata", response_class=Response, responses=_METADATA
    )
    def retrieve_study_metadata(*, study: Study, caller: ActingCaller, wish: AWish) -> Response:
        """Give every element but the bulk data, always in UTF-8."""
        return metadata(Place(study), caller, wish)

    @router.get(OF_SERIES, summary="Retrieve a series", response_class=Response, responses=_OBJECTS)
    def retrieve_series(*, study: Study, series: Series, caller: ActingCaller, wish: AWish) -> Response:
        """Give the instances as they are stored, or in the transfer syntax that is asked for."""
        return objects(Place(study, series), caller, wish)

    @router.get(
        f"{OF_SERIES}/metadata", summary="Retrieve metadata", response_class=Response, responses=_METADATA
    )
    def retrieve_series_metadata(
        *, study: Study, series: Series, caller: ActingCaller, wish: AWish
    ) -> Response:
        """Give every element but the bulk data, always in UTF-8."""
        return metadata(Place(study, series), caller, wish)

    @router.get(OF_INSTANCE, summary="Retrieve an instance", response_class=Response, responses=_OBJECTS)
    def retrieve_instance(
        *, study: Study, series: Series, instance: Instance, caller: ActingCaller, wish: AWish
    ) -> Response:
        """Give the instances as they are stored, or in the transfer syntax that is asked for."""
        return objects(Place(study, series, instance), caller, wish)

    @router.get(
        f"{OF_INSTANCE}/metadata", summary="Retrieve metadata", response_class=Response, responses=_METADATA
    )
    def retrieve_instance_metadata(
        *, study: Study, series: Series, instance: Instance, caller: ActingCaller, wish: AWish
    ) -> Response:
        """Give every element but the bulk data, always in UTF-8."""
        return metadata(Place(study, series, instance), caller, wish)

    @router.get(OF_FRAMES, summary="Retrieve frames", response_class=Response, responses=_FRAMES)
    def retrieve_frames(
        *,
        study: Study,
        series: Series,
        instance: Instance,
        frames: FrameList,
        caller: ActingCaller,
        wish: AWish,
    ) -> Response:
        """Give frames as they are stored, uncompressed, or coded without loss."""
        numbers = read_frames(frames)
        (image,) = dicomweb.find(Place(study, series, instance), caller=caller, what="frames", frames=numbers)
        return answer_with_frames(image, numbers, asked(wish))

    @router.get(
        f"{OF_INSTANCE}/bulkdata/{{value:path}}",
        summary="Retrieve a value",
        response_class=Response,
        responses=_FRAMES,
    )
    def retrieve_bulk_data(
        *,
        study: Study,
        series: Series,
        instance: Instance,
        value: BulkPath,
        caller: ActingCaller,
        wish: AWish,
    ) -> Response:
        """Give a long binary value, by the URI that stands in the metadata."""
        (image,) = dicomweb.find(Place(study, series, instance), caller=caller, what="bulk data")
        return answer_with_bulk_data(image, value, asked(wish))

    return router
