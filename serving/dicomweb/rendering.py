"""Frames as a person sees them, in a format of the web, at every level of a study.

A study, a series or an object of several frames is rendered as the picture that stands for it (the middle
one of its first series; the first frame), or whole as multipart/related where that is asked for.
"""

import io
from collections.abc import Sequence
from itertools import chain, islice
from typing import Final

from fastapi.responses import Response
from PIL import Image

from data.errors import ImageError
from serving.dicomweb.media import Wanted, not_acceptable
from serving.dicomweb.parts import Part, related
from serving.dicomweb.retrieving import Asked, check_frames
from serving.dicomweb.viewport import Look, shown
from serving.errors import Problem, ServiceError
from serving.store.dicom_images import DicomImage
from serving.studies.rendering import Renderer

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
WEBP: Final = "image/webp"
FORMATS: Final = (JPEG, PNG, WEBP)

# More pictures than this in one answer nobody looks at; whoever wants them asks by series.
MOST_PICTURES: Final = 2000


def answer_with_pictures(
    images: Sequence[DicomImage], numbers: Sequence[int], look: Look, asked: Asked, renderer: Renderer
) -> Response:
    """Give rendered frames; without `numbers` the one that stands for the images, or all of them.

    Raises
    ------
    ServiceError
        `NOT_ACCEPTABLE` if no format of ours is accepted; `FRAME_UNREADABLE` if a frame cannot be decoded.
    """
    chosen = choose_format(asked.wanted)
    if chosen is None:
        raise not_acceptable("A picture", FORMATS, asked.wanted)
    media, is_multipart = chosen
    for image in images if numbers else ():
        check_frames(image, numbers)
    if not is_multipart and len(numbers) <= 1:
        image = representative(images)
        number = numbers[0] if numbers else 1
        content = picture(image, number, look, media, renderer)
        return Response(content, media_type=media, headers={"Cache-Control": "no-store", "Vary": "Accept"})
    n_pictures = sum(len(numbers) or image.instance.n_frames for image in images)
    if n_pictures > MOST_PICTURES:
        raise ServiceError(
            Problem.NOT_ACCEPTABLE,
            f"That would be {n_pictures:,} pictures, more than {MOST_PICTURES:,}: ask for less.",
        )
    parts = (
        Part(
            media,
            [picture(image, number, look, media, renderer)],
            f"{asked.url_of(image)}/frames/{number}/rendered",
        )
        for image in images
        for number in numbers or range(1, image.instance.n_frames + 1)
    )
    first = next(parts)
    return related(chain([first], parts), media=media)


def representative(images: Sequence[DicomImage]) -> DicomImage:
    """Give the image that stands for some: the middle one of the first series."""
    first_series = images[0].instance.series_uid
    of_series = [image for image in images if image.instance.series_uid == first_series]
    return next(islice(of_series, len(of_series) // 2, None))


def choose_format(wanted: Sequence[Wanted]) -> tuple[str, bool] | None:
    """Choose a format, and whether it comes in a multipart message, None if none is accepted.

    Examples
    --------
    >>> choose_format([Wanted("image/gif", False), Wanted("image/png", False), Wanted("*/*", True)])
    ('image/png', False)
    """
    for one in wanted:
        for media in FORMATS:
            if one.takes(media):
                return media, one.is_multipart and one.media != "*/*"
    return None


def picture(image: DicomImage, number: int, look: Look, media: str, renderer: Renderer) -> bytes:
    """Render one frame."""
    instance = image.instance
    try:
        pixels = renderer.pixels(instance, number, at_least_px=look.at_least_px, window=look.window)
    except ImageError as error:
        raise ServiceError(
            Problem.FRAME_UNREADABLE,
            f"Frame {number} of {instance.sop_instance_uid} cannot be shown: it {error.problem} "
            f"({error.reason}).",
        ) from error
    return _encoded(shown(pixels, look.viewport), media, look.quality)


def _encoded(image: Image.Image, media: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    if media == PNG:
        image.save(buffer, "PNG", compress_level=3)
    elif media == WEBP:
        image.save(buffer, "WEBP", quality=quality, method=2)
    else:
        image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
