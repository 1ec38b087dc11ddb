"""Sends stored images on an association, each in a transfer syntax that the receiver accepted."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from data.dicom.files import open_object
from data.dicom.header import text_of
from data.dicom.transcoding import CODED, TARGETS, Identity, TranscodingError, object_stream
from data.errors import ImageError
from serving.dicomweb.stored import dicom_file, identity_of
from serving.dimse.association import Association, Context
from serving.dimse.classes import EXPLICIT, IMPLICIT, name_of
from serving.dimse.commands import Field, Tag
from serving.dimse.errors import BrokenLineError
from serving.dimse.part10 import data_set_of
from serving.dimse.pdu import Proposal
from serving.store.dicom_images import DicomImage
from serving.store.objects import ObjectStore

# Contexts have odd numbers of one byte.
MOST_CONTEXTS = 128


class CannotGiveError(Exception):
    """An image cannot be sent: the receiver accepted nothing that it can be written in."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What an image is sent as."""

    sop_class: str
    syntax: str


@dataclass(frozen=True, slots=True)
class Originator:
    """Who asked for a move, and by which message."""

    title: str
    message_id: int


def kind_of(image: DicomImage, objects: ObjectStore) -> Kind:
    """Read what an image is sent as.

    Raises
    ------
    ImageError, ServiceError
        If it cannot be read.
    """
    with dicom_file(image, objects) as path, open_object(path) as opened:
        named = text_of(opened.dataset, "SOPClassUID") or image.sop_class_uid or ""
        return Kind(named, opened.transfer_syntax)


def proposals_for(kinds: Iterable[Kind]) -> list[Proposal]:
    """Propose for every kind its own transfer syntax by itself, and for every class what can be made of it.

    A receiver that takes an image as it is stored then says so, whichever else it prefers.
    """
    distinct = sorted(set(kinds), key=lambda kind: (kind.sop_class, kind.syntax))
    wanted: list[tuple[str, tuple[str, ...]]] = [
        (sop_class, (EXPLICIT, IMPLICIT)) for sop_class in sorted({kind.sop_class for kind in distinct})
    ]
    wanted += [
        (kind.sop_class, (kind.syntax,)) for kind in distinct if kind.syntax not in {EXPLICIT, IMPLICIT}
    ]
    wanted += [(sop_class, CODED) for sop_class in sorted({kind.sop_class for kind in distinct})]
    # where both are known one context would hide that the other is taken as well
    wanted += [(kind.sop_class, (IMPLICIT,)) for kind in distinct if kind.syntax == IMPLICIT]
    return [
        Proposal(2 * place + 1, sop_class, syntaxes)
        for place, (sop_class, syntaxes) in enumerate(wanted[:MOST_CONTEXTS])
    ]


def context_for(contexts: Mapping[int, Context], kind: Kind) -> tuple[Context, str | None] | None:
    """Choose where a kind is sent and what it must be written in, None for as it is stored.

    Gives nothing at all if the receiver accepted nothing that can be made.
    """
    fitting = {one.syntax: one for one in contexts.values() if one.abstract == kind.sop_class}
    if kind.syntax in fitting:
        return fitting[kind.syntax], None
    target = next((syntax for syntax in TARGETS if syntax in fitting), None)
    return None if target is None else (fitting[target], target)


def give(
    image: DicomImage,
    objects: ObjectStore,
    association: Association,
    *,
    message_id: int,
    originator: Originator | None = None,
    classes: frozenset[str] | None = None,
) -> None:
    """Send a stored image under the UIDs that it is kept under; the answer is still to be awaited.

    `classes` are those that the receiver takes on this association; None: every one accepted.

    Raises
    ------
    CannotGiveError
        If nothing was sent, since nothing fits.
    DimseError
        If the association breaks, also since the image could not be read to its end.
    ServiceError
        If it is damaged.
    """
    with dicom_file(image, objects) as path:
        give_file(
            path,
            association,
            identity=identity_of(image),
            sop_class=image.sop_class_uid or "",
            message_id=message_id,
            originator=originator,
            classes=classes,
        )


def give_file(
    path: Path,
    association: Association,
    *,
    identity: Identity,
    sop_class: str = "",
    message_id: int,
    originator: Originator | None = None,
    classes: frozenset[str] | None = None,
) -> None:
    """Send a DICOM file; see :func:`give`. `sop_class` counts if the file does not say it."""
    try:
        with open_object(path) as opened:
            kind = Kind(text_of(opened.dataset, "SOPClassUID") or sop_class, opened.transfer_syntax)
        chosen = context_for(association.contexts, kind)
        if chosen is None or (classes is not None and kind.sop_class not in classes):
            raise CannotGiveError(f"{name_of(kind.sop_class)} in {name_of(kind.syntax)} was not accepted")
        context, target = chosen
        pieces = data_set_of(object_stream(path, target, identity=identity))
        first = next(pieces, b"")
    except (TranscodingError, ImageError) as error:
        raise CannotGiveError(str(error)) from error
    command: dict[Tag, str | int] = {
        Tag.FIELD: Field.STORE,
        Tag.MESSAGE_ID: message_id,
        Tag.PRIORITY: 0,
        Tag.AFFECTED_CLASS: kind.sop_class,
        Tag.AFFECTED_INSTANCE: identity.sop_instance_uid,
    }
    if originator is not None:
        command |= {Tag.ORIGINATOR: originator.title, Tag.ORIGINATOR_ID: originator.message_id}
    association.send(context, command, _to_the_end(chain([first], pieces)))


def first_of_each_series(images: Sequence[DicomImage]) -> list[DicomImage]:
    """Give the first image of every class in every series: the others are mostly written alike."""
    first: dict[tuple[str, str | None], DicomImage] = {}
    for image in images:
        first.setdefault((image.instance.series_uid, image.sop_class_uid), image)
    return list(first.values())


def _to_the_end(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pass pieces on; a later one that cannot be made leaves half an image, which only an abort ends."""
    try:
        yield from pieces
    except (TranscodingError, ImageError) as error:
        raise BrokenLineError(f"an image could not be read to its end ({error})") from error
