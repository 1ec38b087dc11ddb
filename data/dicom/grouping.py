"""Groups files into studies and series, and puts frames into the order in which they are read.

Files belong together by their UIDs, never by name or folder. Within a series slices are ordered along
their normal; where planes of several orientations are mixed (localisers, reformats filed together) each
orientation stays together, in the order in which it first appears. Without geometry the Instance Number
decides, then the SOP Instance UID.

A file that cannot be taken is returned with its reason and spoils none of the others.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from hashlib import file_digest
from pathlib import Path

from data.dicom.files import OpenedObject, malformed_is_corrupt, open_object
from data.dicom.geometry import Plane, plane_of
from data.dicom.header import (
    Header,
    datetime_of,
    functional_groups,
    header_of,
    integer_of,
    items_of,
    text_of,
)
from data.dicom.patient import patient_context_of
from data.dicom.picture import Picture, picture_of
from data.dicom.reading import DicomReader
from data.dicom.writing import uid_of_digest
from data.errors import ImageError, Reason
from data.study import (
    Announced,
    AnnouncedOf,
    Frame,
    Instance,
    Modality,
    PatientContext,
    PatientIdentity,
    Series,
    Study,
    StudyListing,
)

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"
# More than any examination has: what is beyond is a slip.
_MOST_ANNOUNCED = 1_000_000
# Objects with pixels that are marks on other images, not images to be read.
SEGMENTATIONS = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})


@dataclass(frozen=True, slots=True)
class _Member:
    """One taken file: what the study needs of its header, and its frames with their planes."""

    instance: Instance
    study_uid: str
    series: Series
    study: Study
    planes: tuple[Plane | None, ...]
    announced: tuple[Announced, ...] = ()


def read_studies(
    paths: Iterable[Path], *, character_set: str | None = None, refuses_duplicates: bool = False
) -> tuple[tuple[Study, ...], tuple[ImageError, ...]]:
    """Group DICOM files into studies.

    Parameters
    ----------
    paths : iterable of Path
        The files in any order.
    character_set : str or None
        Overrides the character set that the files declare; see :func:`data.dicom.header.read_header`.
    refuses_duplicates : bool
        Whether a file that repeats another's SOP Instance UID with other bytes is rejected
        (`DUPLICATE_UID`), the first in the order of their paths being taken. For those who keep what is
        rejected until somebody has looked at it.

    Returns
    -------
    studies : tuple of Study
        In the order of their UIDs; their pixels are read when someone looks at a frame.
    rejected : tuple of ImageError
        One for each file that was not taken. Copies of the same bytes are one file.

    Notes
    -----
    A file without Study, Series or SOP Instance UID gets one made from its SHA-256 (``2.25.*``), the same
    at every reading. So does a file that repeats another's SOP Instance UID with other bytes: that breaks
    the standard, yet hiding one of two images could hide the finding. Files of one Study Instance UID that
    name different patients are several studies of that UID: one is never shown as the other.
    """
    members: dict[str, _Member] = {}
    rejected: list[ImageError] = []
    for path in sorted(set(paths)):
        try:
            with malformed_is_corrupt(path):
                member = _read_member(path, character_set)
        except ImageError as error:
            rejected.append(error)
            continue
        known = members.get(member.instance.sop_instance_uid)
        if known is not None:
            digest = _digest(path)
            if digest == _digest(known.instance.path):
                continue
            if refuses_duplicates:
                rejected.append(duplicate_uid(path))
                continue
            member = _with_uid(member, uid_of_digest(digest))
        members[member.instance.sop_instance_uid] = member
    by_study: dict[str, list[list[_Member]]] = {}
    for member in members.values():
        of_patients = by_study.setdefault(member.study_uid, [])
        for group in of_patients:
            if not _are_two_patients(_patient(group), member.study.patient):
                group.append(member)
                break
        else:
            of_patients.append([member])
    return tuple(_study(group) for uid in sorted(by_study) for group in by_study[uid]), tuple(rejected)


def duplicate_uid(source: Path | str) -> ImageError:
    """Say of a file that another with its SOP Instance UID is there already, and has other bytes."""
    return ImageError(
        source,
        Reason.DUPLICATE_UID,
        "has the SOP Instance UID of another image, and other bytes",
        "find out which of the two is right; one that is an image of its own needs a UID of its own",
    )


def _read_member(path: Path, character_set: str | None) -> _Member:
    with open_object(path) as opened:
        header = header_of(path, opened, character_set=character_set)
        _refuse_what_is_no_image(path, header, opened)
        picture = picture_of(path, opened)
    dataset = header.dataset
    digest_uid = ""
    if not all(header.text(f"{level}InstanceUID") for level in ("Study", "Series", "SOP")):
        digest_uid = uid_of_digest(_digest(path))
    series_uid = header.text("SeriesInstanceUID") or digest_uid
    series = _series_facts(header, series_uid)
    study_uid = header.text("StudyInstanceUID") or (
        digest_uid if not header.text("SeriesInstanceUID") else series_uid
    )
    return _Member(
        instance=_instance(path, header, picture, digest_uid),
        study_uid=study_uid,
        series=series,
        study=_study_facts(header, study_uid, series.body_part),
        planes=tuple(plane_of(dataset, index) for index in range(picture.n_frames)),
        announced=tuple(_announced(header, series_uid)),
    )


def _announced(header: Header, series_uid: str) -> Iterator[Announced]:
    """Give what a header says of how many belong together; what is no number of things says nothing."""
    number = integer_of(header.dataset, "AcquisitionNumber")
    for keyword, of, part in (
        ("NumberOfStudyRelatedInstances", AnnouncedOf.STUDY, ""),
        ("NumberOfStudyRelatedSeries", AnnouncedOf.SERIES_COUNT, ""),
        ("NumberOfSeriesRelatedInstances", AnnouncedOf.SERIES, series_uid),
        ("ImagesInAcquisition", AnnouncedOf.ACQUISITION, f"{series_uid} {number or 0}"),
    ):
        n = integer_of(header.dataset, keyword) if keyword in header.dataset else None
        if n is not None and 0 < n <= _MOST_ANNOUNCED:
            yield Announced(of, part, n)


def _with_uid(member: _Member, sop_instance_uid: str) -> _Member:
    return replace(member, instance=replace(member.instance, sop_instance_uid=sop_instance_uid))


def _refuse_what_is_no_image(path: Path, header: Header, opened: OpenedObject) -> None:
    sop_class = header.text("SOPClassUID") or text_of(header.dataset.file_meta, "MediaStorageSOPClassUID")
    if sop_class == MEDIA_STORAGE_DIRECTORY or "DirectoryRecordSequence" in header.dataset:
        raise ImageError(
            path, Reason.NO_PIXELS, "is a DICOMDIR, a table of contents", "send the files it lists"
        )
    if sop_class in SEGMENTATIONS:
        raise ImageError(
            path,
            Reason.UNSUPPORTED_CONTENT,
            "is a segmentation, not an image to be read",
            "send the images it was made from",
        )
    if opened.pixels is None:
        kind = header.dataset.get("SOPClassUID")
        name = getattr(kind, "name", "") or "an object"
        raise ImageError(
            path, Reason.NO_PIXELS, f"has no pixel data ({name})", "send the images it belongs to"
        )


def _instance(path: Path, header: Header, picture: Picture, digest_uid: str) -> Instance:
    return Instance(
        path=path,
        sop_instance_uid=header.text("SOPInstanceUID") or digest_uid,
        sop_class_uid=header.text("SOPClassUID") or None,
        number=integer_of(header.dataset, "InstanceNumber"),
        n_frames=picture.n_frames,
        rows=picture.form.rows,
        columns=picture.form.columns,
        is_colour=picture.is_colour,
        unit=picture.unit,
        reader=DicomReader(path),
        image_type=tuple(
            term.strip().upper() for term in header.text("ImageType").split("\\") if term.strip()
        ),
    )


def _series_facts(header: Header, uid: str) -> Series:
    dataset = header.dataset
    laterality = header.text("ImageLaterality") or header.text("Laterality")
    body_part = header.text("BodyPartExamined")
    for group in functional_groups(dataset, 0):
        for item in items_of(group, "FrameAnatomySequence"):
            laterality = laterality or text_of(item, "FrameLaterality")
            for region in items_of(item, "AnatomicRegionSequence"):
                body_part = body_part or text_of(region, "CodeMeaning")
    for region in items_of(dataset, "AnatomicRegionSequence"):
        body_part = body_part or text_of(region, "CodeMeaning")
    view = header.text("ViewPosition")
    for code in items_of(dataset, "ViewCodeSequence"):
        view = view or text_of(code, "CodeMeaning")
    return Series(
        uid=uid,
        modality=Modality.of(header.text("Modality")),
        frames=(),
        number=integer_of(dataset, "SeriesNumber"),
        description=header.text("SeriesDescription"),
        body_part=body_part,
        laterality=laterality,
        view=view,
        kernel=_kernel(header),
    )


def _kernel(header: Header) -> str:
    for group in functional_groups(header.dataset, 0):
        for item in items_of(group, "CTReconstructionSequence"):
            if kernel := text_of(item, "ConvolutionKernel"):
                return kernel
    return header.text("ConvolutionKernel")


def _study_facts(header: Header, uid: str, body_part: str) -> Study:
    dataset = header.dataset
    identifier, name = header.text("PatientID"), header.text("PatientName")
    return Study(
        uid=uid,
        series=(),
        patient=PatientIdentity(header.text("IssuerOfPatientID"), identifier, name)
        if identifier or name
        else None,
        context=patient_context_of(header, body_part),
        accession=header.text("AccessionNumber"),
        description=header.text("StudyDescription"),
        performed_at=datetime_of(dataset, "StudyDate", "StudyTime"),
        listing=StudyListing(
            date=header.text("StudyDate").replace(".", "")[:8],
            time=header.text("StudyTime").replace(":", "")[:16],
            timezone=header.text("TimezoneOffsetFromUTC")[:5],
            study_id=header.text("StudyID"),
            referring_physician=header.text("ReferringPhysicianName"),
            birth_date=header.text("PatientBirthDate").replace(".", "")[:8],
        ),
    )


def _study(members: list[_Member]) -> Study:
    by_series: dict[str, list[_Member]] = {}
    for member in members:
        by_series.setdefault(member.series.uid, []).append(member)
    series = [_series(group) for group in by_series.values()]
    series.sort(key=lambda one: (one.number is None, one.number or 0, one.uid))
    facts = members[0].study
    return Study(
        uid=facts.uid,
        series=tuple(series),
        patient=_patient(members),
        context=max((member.study.context for member in members), key=_n_known),
        accession=next((member.study.accession for member in members if member.study.accession), ""),
        description=facts.description,
        performed_at=facts.performed_at,
        listing=facts.listing,
        announced=_largest(one for member in members for one in member.announced),
    )


def _largest(announced: Iterable[Announced]) -> tuple[Announced, ...]:
    """Give the largest number of each; a device counts on while it sends."""
    found: dict[tuple[AnnouncedOf, str], Announced] = {}
    for one in announced:
        known = found.get((one.of, one.part))
        if known is None or one.n > known.n:
            found[one.of, one.part] = one
    return tuple(found.values())


def _patient(members: list[_Member]) -> PatientIdentity | None:
    return next((member.study.patient for member in members if member.study.patient), None)


def _are_two_patients(one: PatientIdentity | None, other: PatientIdentity | None) -> bool:
    """Whether two files name different patients; what one of them does not say is no difference."""
    if one is None or other is None:
        return False
    said = ((one.identifier, other.identifier), (one.issuer, other.issuer))
    return any(ours and theirs and ours != theirs for ours, theirs in said)


def _n_known(context: PatientContext) -> int:
    return sum(value is not None for value in (context.age_years, context.sex, context.body_site))


def _series(members: list[_Member]) -> Series:
    members = sorted(members, key=_filing_order)
    frames = [
        (Frame(member.instance, index), plane)
        for member in members
        for index, plane in enumerate(member.planes)
    ]
    facts = members[0].series
    return Series(
        uid=facts.uid,
        modality=facts.modality,
        frames=tuple(_in_reading_order(frames)),
        number=facts.number,
        description=facts.description,
        body_part=facts.body_part,
        laterality=facts.laterality,
        view=facts.view,
        kernel=facts.kernel,
    )


def _filing_order(member: _Member) -> tuple[bool, int, str]:
    number = member.instance.number
    return number is None, number or 0, member.instance.sop_instance_uid


def _in_reading_order(frames: list[tuple[Frame, Plane | None]]) -> list[Frame]:
    """Order frames along the normal of their orientation; those without a plane come last, as filed."""
    stacks: list[tuple[Plane, list[tuple[float, Frame]]]] = []
    loose: list[Frame] = []
    for frame, plane in frames:
        if plane is None:
            loose.append(frame)
            continue
        for first, stack in stacks:
            if first.is_parallel_to(plane):
                stack.append((plane.distance_mm(first.normal), frame))
                break
        else:
            stacks.append((plane, [(plane.distance_mm(plane.normal), frame)]))
    ordered: list[Frame] = []
    for first, stack in stacks:
        # Frames at one place (phases, echoes) keep the order in which they are filed: the sort is stable.
        for position, frame in sorted(stack, key=lambda entry: round(entry[0], 3)):
            ordered.append(Frame(frame.instance, frame.index, position, first.normal))
    return ordered + loose


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return file_digest(file, "sha256").digest()
