"""GET .../rendered and .../thumbnail: pictures of every level (PS3.18 10.4.1.1.3 and 10.4.1.1.4)."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

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
from serving.dicomweb.rendering import answer_with_pictures
from serving.dicomweb.retrieving import Asked
from serving.dicomweb.service import DicomWeb, Place
from serving.dicomweb.viewport import THUMBNAIL_PX, Look, read_look
from serving.identity.caller import ActingCaller, Caller

_PICTURES: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"image/jpeg": {}, "image/png": {}, "image/webp": {}},
        "description": "As a person sees it.",
    }
}


def looks(
    window: Annotated[str | None, Query(max_length=128, description="centre,width,function")] = None,
    viewport: Annotated[str | None, Query(max_length=128, description="width,height[,region]")] = None,
    quality: Annotated[str | None, Query(max_length=8, description="1 to 100")] = None,
) -> Look:
    """Read how a picture is asked for; annotations are never burned in, whatever is asked."""
    return read_look(window, viewport, quality)


def small_looks(
    viewport: Annotated[str | None, Query(max_length=128, description="width,height")] = None,
) -> Look:
    """Read how large a thumbnail is asked for."""
    return read_look(None, viewport or f"{THUMBNAIL_PX},{THUMBNAIL_PX}", None)


ALook = Annotated[Look, Depends(looks)]
SmallLook = Annotated[Look, Depends(small_looks)]


def build_router(dicomweb: DicomWeb) -> APIRouter:
    """Serve pictures of the stored studies."""
    router = APIRouter(prefix=ROOT, tags=["dicomweb"])

    def pictures(
        place: Place, caller: Caller, wish: Wish, look: Look, numbers: tuple[int, ...] = ()
    ) -> Response:
        images = dicomweb.find(place, caller=caller, what="rendered", frames=numbers)
        asked = Asked(wish.base_url, wish.wanted, dicomweb.objects)
        return answer_with_pictures(images, numbers, look, asked, dicomweb.renderer)

    @router.get(
        f"{OF_STUDY}/rendered", summary="Retrieve as a picture", response_class=Response, responses=_PICTURES
    )
    def retrieve_study_rendered(*, study: Study, caller: ActingCaller, wish: AWish, look: ALook) -> Response:
        """Give the picture that stands for it, or all pictures as multipart/related."""
        return pictures(Place(study), caller, wish, look)

    @router.get(
        f"{OF_STUDY}/thumbnail",
        summary="Retrieve a small picture",
        response_class=Response,
        responses=_PICTURES,
    )
    def retrieve_study_thumbnail(
        *, study: Study, caller: ActingCaller, wish: AWish, look: SmallLook
    ) -> Response:
        """Give the picture that stands for it, small."""
        return pictures(Place(study), caller, wish, look)

    @router.get(
        f"{OF_SERIES}/rendered", summary="Retrieve as a picture", response_class=Response, responses=_PICTURES
    )
    def retrieve_series_rendered(
        *, study: Study, series: Series, caller: ActingCaller, wish: AWish, look: ALook
    ) -> Response:
        """Give the picture that stands for it, or all pictures as multipart/related."""
        return pictures(Place(study, series), caller, wish, look)

    @router.get(
        f"{OF_SERIES}/thumbnail",
        summary="Retrieve a small picture",
        response_class=Response,
        responses=_PICTURES,
    )
    def retrieve_series_thumbnail(
        *, study: Study, series: Series, caller: ActingCaller, wish: AWish, look: SmallLook
    ) -> Response:
        """Give the picture that stands for it, small."""
        return pictures(Place(study, series), caller, wish, look)

    @router.get(
        f"{OF_INSTANCE}/rendered",
        summary="Retrieve as a picture",
        response_class=Response,
        responses=_PICTURES,
    )
    def retrieve_instance_rendered(
        *, study: Study, series: Series, instance: Instance, caller: ActingCaller, wish: AWish, look: ALook
    ) -> Response:
        """Give the picture that stands for it, or all pictures as multipart/related."""
        return pictures(Place(study, series, instance), caller, wish, look)

    @router.get(
        f"{OF_INSTANCE}/thumbnail",
        summary="Retrieve a small picture",
        response_class=Response,
        responses=_PICTURES,
    )
    def retrieve_instance_thumbnail(
        *,
        study: Study,
        series: Series,
        instance: Instance,
        caller: ActingCaller,
        wish: AWish,
        look: SmallLook,
    ) -> Response:
        """Give the picture that stands for it, small."""
        return pictures(Place(study, series, instance), caller, wish, look)

    @router.get(
        f"{OF_FRAMES}/rendered",
        summary="Retrieve frames as pictures",
        response_class=Response,
        responses=_PICTURES,
    )
    def retrieve_frames_rendered(
        *,
        study: Study,
        series: Series,
        instance: Instance,
        frames: FrameList,
        caller: ActingCaller,
        wish: AWish,
        look: ALook,
    ) -> Response:
        """Give frames as a person sees them; several as multipart/related."""
        return pictures(Place(study, series, instance), caller, wish, look, read_frames(frames))

    @router.get(
        f"{OF_FRAMES}/thumbnail",
        summary="Retrieve frames small",
        response_class=Response,
        responses=_PICTURES,
    )
    def retrieve_frames_thumbnail(
        *,
        study: Study,
        series: Series,
        instance: Instance,
        frames: FrameList,
        caller: ActingCaller,
        wish: AWish,
        look: SmallLook,
    ) -> Response:
        """Give the first of the frames, small."""
        return pictures(Place(study, series, instance), caller, wish, look, read_frames(frames)[:1])

    return router
