"""GET /api/v1/studies/{id}: one study, its result, and its frames as pictures."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response

from serving.errors import Problem, ServiceError
from serving.identity.caller import ActingCaller, Caller
from serving.studies.rendering import THUMBNAIL_PX, Format
from serving.studies.schemas import StudyDetail
from serving.studies.service import Studies
from serving.worklist.endpoints import AcceptLanguage, Lang
from serving.worklist.language import choose_language

StudyKey = Annotated[str, Path(max_length=64, description="The study's id, as the worklist gives it.")]
Uid = Annotated[str, Path(max_length=128, description="SOP Instance UID.")]
FrameNumber = Annotated[int, Path(ge=1, le=1_000_000, description="Counted from 1.")]
Width = Annotated[int | None, Query(ge=16, le=8192, description="At most this wide, in pixels.")]
Accept = Annotated[str | None, Header()]
IfNoneMatch = Annotated[str | None, Header()]

_PICTURES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/jpeg": {}, "image/png": {}}, "description": "The frame."},
    304: {"description": "The picture is the one the client has."},
}


def build_router(studies: Studies) -> APIRouter:
    """Serve `studies` over HTTP."""
    router = APIRouter(prefix="/api/v1/studies", tags=["studies"])

    @router.get("/{study}", summary="Read a study")
    def read_study(
        *,
        study: StudyKey,
        response: Response,
        caller: ActingCaller,
        lang: Lang = None,
        accept_language: AcceptLanguage = None,
    ) -> StudyDetail:
        """Give a study with its place in the queue, its result, its key images and all its images."""
        language = choose_language(accept_language, lang)
        response.headers["Content-Language"] = language
        response.headers["Cache-Control"] = "no-store"
        response.headers["Vary"] = "Accept-Language"
        found = studies.find(study, scope=caller.scope, site=caller.home_site, who=caller.who)
        return StudyDetail.of(found, language=language)

    frame_path = "/{study}/instances/{sop_instance_uid}/frames/{frame}"

    @router.get(f"{frame_path}/rendered", summary="See a frame", response_class=Response, responses=_PICTURES)
    def render_frame(
        *,
        study: StudyKey,
        sop_instance_uid: Uid,
        frame: FrameNumber,
        caller: ActingCaller,
        width: Width = None,
        accept: Accept = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Give a frame as a person sees it: upright, windowed, sRGB; JPEG, or PNG where that is preferred."""
        return _picture(
            studies,
            (study, sop_instance_uid, frame),
            caller,
            width_px=width,
            coding=_preferred(accept),
            known=if_none_match,
        )

    @router.get(
        f"{frame_path}/thumbnail",
        summary="See a frame small",
        response_class=Response,
        responses=_PICTURES,
    )
    def render_thumbnail(
        *,
        study: StudyKey,
        sop_instance_uid: Uid,
        frame: FrameNumber,
        caller: ActingCaller,
        accept: Accept = None,
        if_none_match: IfNoneMatch = None,
    ) -> Response:
        """Give a frame at the size of a list's line."""
        return _picture(
            studies,
            (study, sop_instance_uid, frame),
            caller,
            width_px=THUMBNAIL_PX * 2,  # sharp on screens of two pixels a point
            coding=_preferred(accept),
            known=if_none_match,
        )

    return router


def _picture(
    studies: Studies,
    place: tuple[str, str, int],
    caller: Caller,
    *,
    width_px: int | None,
    coding: Format,
    known: str | None,
) -> Response:
    frame = place[2]
    instance = studies.find_instance(
        *place, scope=caller.scope, site=caller.home_site, who=caller.who, width_px=width_px
    )
    # The bytes of an object never change, so the tag is known before anything is decoded.
    tag = f'"{instance.sha256[:32]}-{frame}-{width_px or "full"}-{coding.name.lower()}"'
    headers = {"ETag": tag, "Cache-Control": "no-store", "Vary": "Accept"}
    if known is not None and (known.strip() == "*" or tag in [one.strip() for one in known.split(",")]):
        return Response(status_code=304, headers=headers)
    picture = studies.render(instance, frame, width_px=width_px, coding=coding)
    return Response(picture.content, media_type=picture.format, headers=headers)


def _preferred(accept: str | None) -> Format:
    """Choose the coding: JPEG unless PNG alone, or PNG before JPEG, is asked for.

    Raises
    ------
    ServiceError
        `NOT_ACCEPTABLE` if neither is accepted.
    """
    weights = {Format.JPEG: 0.0, Format.PNG: 0.0}
    for part in (accept or "*/*").split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = 0.0
        named = [coding for coding in Format if kind in {coding, "*/*", "image/*"}]
        weights |= {coding: max(weights[coding], weight) for coding in named}
    best = max(weights, key=lambda coding: weights[coding])
    if weights[best] <= 0:
        raise ServiceError(
            Problem.NOT_ACCEPTABLE, f"A frame comes as image/jpeg or image/png, not as {accept}."
        )
    return best
