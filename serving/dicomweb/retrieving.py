"""Makes the answers of WADO-RS: objects, metadata, frames and bulk data, one image at a time."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from fastapi.responses import StreamingResponse

from data.dicom.files import FLOAT_PIXEL_DATA, open_object
from data.dicom.json_model import JsonDataset, as_little_endian, attribute_of, find_value, json_of_object
from data.dicom.reading import DicomReader
from data.dicom.transcoding import TranscodingError, frame_in, object_stream
from data.dicom.xml_model import xml_of
from data.errors import ImageError
from serving.dicomweb.media import (
    DICOM,
    JSON,
    OCTETS,
    XML,
    Coding,
    Wanted,
    choose_text,
    frame_coding,
    is_single,
    not_acceptable,
    object_coding,
)
from serving.dicomweb.parts import Part, related, single
from serving.dicomweb.service import place_of
from serving.dicomweb.stored import dicom_file, identity_of
from serving.errors import Problem, ServiceError
from serving.store.dicom_images import DicomImage
from serving.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Asked:
    """What all answers need: where the service is reached, what is accepted, where the bytes are."""

    base_url: str
    wanted: tuple[Wanted, ...]
    objects: ObjectStore

    def url_of(self, image: DicomImage) -> str:
        """Give the address of an image."""
        return f"{self.base_url}/{place_of(image).path}"


def answer_with_objects(images: Sequence[DicomImage], asked: Asked) -> StreamingResponse:
    """Give images as DICOM files, as they are stored unless another transfer syntax is asked for.

    Raises
    ------
    ServiceError
        `NOT_ACCEPTABLE` if one of them cannot be given so, as far as headers and the first image tell.
    """
    if not any(one.takes(DICOM) for one in asked.wanted):
        raise not_acceptable("An instance", [DICOM], asked.wanted)
    if is_single(asked.wanted, DICOM):
        if len(images) > 1:
            raise ServiceError(
                Problem.NOT_ACCEPTABLE, f"{len(images)} instances come as multipart/related alone."
            )
        return single(_object_part(images[0], asked))
    # The first is made before the answer begins, so that what cannot be given so gets a status of its own.
    parts = (_object_part(image, asked) for image in images)
    first = next(parts)
    return related(chain([first], parts), media=DICOM)


def _object_part(image: DicomImage, asked: Asked) -> Part:
    pieces = _object_pieces(image, asked)
    try:
        syntax = next(pieces).decode("ascii")
        first = next(pieces, b"")
    except (TranscodingError, ImageError) as error:
        raise _cannot_give(image, error) from error
    media = f"{DICOM}; transfer-syntax={syntax}" if syntax else DICOM
    return Part(media, chain([first], pieces), asked.url_of(image))


def _object_pieces(image: DicomImage, asked: Asked) -> Iterator[bytes]:
    """Give the transfer syntax, then the object's bytes."""
    with dicom_file(image, asked.objects) as path:
        with open_object(path) as opened:
            stored = opened.transfer_syntax
        target = object_coding(asked.wanted, stored)
        yield (target or stored).encode("ascii", "replace")
        yield from object_stream(path, target, identity=identity_of(image))


def _cannot_give(image: DicomImage, error: TranscodingError | ImageError) -> ServiceError:
    said = f"it {error.problem} ({error.reason})" if isinstance(error, ImageError) else str(error)
    return ServiceError(
        Problem.NOT_ACCEPTABLE,
        f"The instance {image.instance.sop_instance_uid} cannot be given in the transfer syntax asked for: "
        f"{said}; ask for transfer-syntax=* to have it as it is stored.",
    )


def metadata_of(image: DicomImage, asked: Asked) -> JsonDataset:
    """Give everything but the pixels of an image as the DICOM JSON model."""
    url = asked.url_of(image)
    with dicom_file(image, asked.objects) as path, open_object(path) as opened:
        model = json_of_object(opened, bulk_uri=lambda place: f"{url}/bulkdata/{place}")
    uids = identity_of(image)  # a file that repeats another's UIDs is kept under new ones
    for tag, uid in (
        ("00080018", uids.sop_instance_uid),
        ("0020000D", uids.study_uid),
        ("0020000E", uids.series_uid),
    ):
        model[tag] = attribute_of("UI", uid)
    return dict(sorted(model.items()))


def answer_with_metadata(images: Sequence[DicomImage], asked: Asked) -> StreamingResponse:
    """Give the metadata of images, as JSON in one array or as XML in one part each."""
    if choose_text(asked.wanted) == XML:
        parts = (Part(XML, [xml_of(metadata_of(image, asked))], asked.url_of(image)) for image in images)
        return related(parts, media=XML)
    models = (metadata_of(image, asked) for image in images)
    return StreamingResponse(
        json_array(models), media_type=JSON, headers={"Cache-Control": "no-store", "Vary": "Accept"}
    )


def json_array(models: Iterable[JsonDataset]) -> Iterator[bytes]:
    """Write data sets as a JSON array, one at a time."""
    opening = "["
    for model in models:
        yield f"{opening}{json.dumps(model, ensure_ascii=False, allow_nan=False)}".encode("utf-8", "replace")
        opening = ","
    yield b"[]" if opening == "[" else b"]"


def answer_with_frames(image: DicomImage, numbers: Sequence[int], asked: Asked) -> StreamingResponse:
    """Give frames of an image, as they are stored where that is accepted.

    Raises
    ------
    ServiceError
        `NOT_FOUND` if there is no such frame, `NOT_ACCEPTABLE` if it cannot be given as asked.
    """
    check_frames(image, numbers)
    parts = _frame_parts(image, numbers, asked)
    first = next(parts)
    media = first.media.partition(";")[0]
    if len(numbers) == 1 and is_single(asked.wanted, media):
        return single(first)
    return related(chain([first], parts), media=media)


def check_frames(image: DicomImage, numbers: Sequence[int]) -> None:
    """Refuse frames that an image does not have."""
    for number in numbers:
        if not 1 <= number <= image.instance.n_frames:
            raise ServiceError(
                Problem.NOT_FOUND,
                f"{image.instance.sop_instance_uid} has frames 1 to {image.instance.n_frames}, not {number}.",
            )


def _frame_parts(image: DicomImage, numbers: Sequence[int], asked: Asked) -> Iterator[Part]:
    with dicom_file(image, asked.objects) as path:
        try:
            coding = frame_coding(asked.wanted, DicomReader(path).picture().transfer_syntax)
            for number in numbers:
                data, syntax = frame_in(path, number - 1, coding.syntax)
                yield _frame_part(data, syntax, coding, f"{asked.url_of(image)}/frames/{number}")
        except (TranscodingError, ImageError) as error:
            raise _cannot_give(image, error) from error


def _frame_part(data: bytes, syntax: str, coding: Coding, location: str) -> Part:
    return Part(f"{coding.media}; transfer-syntax={syntax}", [data], location)


def answer_with_bulk_data(image: DicomImage, value: str, asked: Asked) -> StreamingResponse:
    """Give one binary value, in little endian order.

    Raises
    ------
    ServiceError
        `NOT_FOUND` if the image has none there.
    """
    tags = value.split("/")
    if len(tags) == 1 and len(tags[0]) == 8 and _is_pixel_data(tags[0]):
        return answer_with_frames(image, range(1, image.instance.n_frames + 1), asked)
    if not any(one.takes(OCTETS) for one in asked.wanted):
        raise not_acceptable("A value", [OCTETS], asked.wanted)
    with dicom_file(image, asked.objects) as path, open_object(path) as opened:
        found = find_value(opened.dataset, tags)
        is_little_endian = opened.is_little_endian
    if found is None:
        raise ServiceError(
            Problem.NOT_FOUND, f"{image.instance.sop_instance_uid} has no binary value at that place."
        )
    vr, data = found
    part = Part(
        OCTETS,
        [as_little_endian(data, vr, is_little_endian=is_little_endian)],
        f"{asked.url_of(image)}/bulkdata/{value}",
    )
    return single(part) if is_single(asked.wanted, OCTETS) else related([part], media=OCTETS)


def _is_pixel_data(tag: str) -> bool:
    try:
        return int(tag, 16) >= FLOAT_PIXEL_DATA
    except ValueError:
        return False
