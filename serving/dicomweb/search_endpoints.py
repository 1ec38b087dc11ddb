"""GET /dicom-web/studies, /series, /instances: QIDO-RS (PS3.18 10.6)."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from data.dicom.json_model import JsonDataset
from data.dicom.xml_model import xml_of
from serving.dicomweb.addresses import OF_SERIES, OF_STUDY, ROOT, AWish, Series, Study, Wish
from serving.dicomweb.matching import read_search
from serving.dicomweb.media import JSON, XML, choose_text
from serving.dicomweb.parts import Part, related
from serving.dicomweb.retrieving import json_array
from serving.dicomweb.searching import KEYS_OF, Found, Level, search
from serving.dicomweb.service import DicomWeb, Place
from serving.identity.caller import ActingCaller, Caller

_HITS: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {JSON: {}, 'multipart/related; type="application/dicom+xml"': {}},
        "description": "What was found; Warning says what was not followed, and whether there is more.",
    },
    204: {"description": "Nothing was found (XML)."},
}


def build_router(dicomweb: DicomWeb) -> APIRouter:
    """Serve searches over the stored studies."""
    router = APIRouter(prefix=ROOT, tags=["dicomweb"])

    def found(
        level: Level, request: Request, caller: Caller, wish: Wish, within: Place | None = None
    ) -> Response:
        media = choose_text(wish.wanted)
        asked = read_search(request.query_params.multi_items(), keys=KEYS_OF[level])
        hits = search(dicomweb, level, asked, within=within, caller=caller, base_url=wish.base_url)
        return _answer(hits, media)

    @router.get("/studies", summary="Search studies", response_class=Response, responses=_HITS)
    def search_for_studies(request: Request, caller: ActingCaller, wish: AWish) -> Response:
        """Give the studies that match, the newest first."""
        return found(Level.STUDY, request, caller, wish)

    @router.get("/series", summary="Search series", response_class=Response, responses=_HITS)
    def search_for_series(request: Request, caller: ActingCaller, wish: AWish) -> Response:
        """Give the series that match, with what their studies are listed by."""
        return found(Level.SERIES, request, caller, wish)

    @router.get("/instances", summary="Search instances", response_class=Response, responses=_HITS)
    def search_for_instances(request: Request, caller: ActingCaller, wish: AWish) -> Response:
        """Give the instances that match, with what their series and studies are listed by."""
        return found(Level.INSTANCE, request, caller, wish)

    @router.get(
        f"{OF_STUDY}/series", summary="Search within a study", response_class=Response, responses=_HITS
    )
    def search_series_of_study(study: Study, request: Request, caller: ActingCaller, wish: AWish) -> Response:
        """Give the series of a study that match."""
        return found(Level.SERIES, request, caller, wish, Place(study))

    @router.get(
        f"{OF_STUDY}/instances",
        summary="Search a study",
        response_class=Response,
        responses=_HITS,
    )
    def search_instances_of_study(
        study: Study, request: Request, caller: ActingCaller, wish: AWish
    ) -> Response:
        """Give the instances of a study that match."""
        return found(Level.INSTANCE, request, caller, wish, Place(study))

    @router.get(
        f"{OF_SERIES}/instances",
        summary="Search a series",
        response_class=Response,
        responses=_HITS,
    )
    def search_instances_of_series(
        *, study: Study, series: Series, request: Request, caller: ActingCaller, wish: AWish
    ) -> Response:
        """Give the instances of a series that match."""
        return found(Level.INSTANCE, request, caller, wish, Place(study, series))

    return router


def _answer(hits: Found, media: str) -> Response:
    answer: Response
    if media == XML and not hits.models:
        answer = Response(status_code=204)
    elif media == XML:
        answer = related([_part(model) for model in hits.models], media=XML)
    else:
        answer = StreamingResponse(json_array(hits.models), media_type=JSON)
    answer.headers["Cache-Control"] = "no-store"
    answer.headers["Vary"] = "Accept"
    for warning in hits.warnings:
        answer.headers.append("Warning", f'299 firstread: "{warning}"')
    return answer


def _part(model: JsonDataset) -> Part:
    return Part(XML, [xml_of(model)])
