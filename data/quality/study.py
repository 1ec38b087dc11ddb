"""Looks over a study as it comes in, and gives what is amiss with its pictures and series.

Every series' header is read; pixels only of a few pictures, so that the answer comes while the patient is
still there: a photograph takes about a tenth of a second.
"""

from collections.abc import Iterator
from dataclasses import replace

from data.errors import ImageError
from data.quality.finding import Fault, Finding
from data.quality.photograph import COPY_PX, look_at_photograph
from data.study import Frame, Modality, Series, Study

# The pixels of so many pictures of a study are looked at: each radiograph or photograph, and of any other
# series the picture in its middle.
MOST_PICTURES = 8

PHOTOGRAPHS = frozenset({Modality.PHOTOGRAPH, Modality.DERMOSCOPY})
SINGLE_VIEWS = PHOTOGRAPHS | {
    Modality.COMPUTED_RADIOGRAPHY,
    Modality.DIGITAL_RADIOGRAPHY,
    Modality.MAMMOGRAPHY,
}


def look_over(study: Study, *, most_pictures: int = MOST_PICTURES) -> tuple[Finding, ...]:
    """Give what is amiss with a study; what cannot be read is told elsewhere.

    Parameters
    ----------
    study : Study
        Its files are at hand.
    most_pictures : int
        Pixels of so many pictures are looked at.
    """
    found: list[Finding] = []
    left = most_pictures
    for series in study.series:
        frames = _looked_at(series, left)
        left -= len(frames)
        if series.modality in PHOTOGRAPHS:
            found.extend(one for frame in frames for one in _photograph(frame, series))
        elif series.modality is not Modality.SEGMENTATION and series.frames:
            found.extend(_radiology(series, frames))
    return tuple(dict.fromkeys(found))


def look_over_series(study: Study) -> tuple[Finding, ...]:
    """Give what is amiss with the series of a study as a whole, from their headers: no pixel is read."""
    found = [
        one
        for series in study.series
        if series.modality not in PHOTOGRAPHS | {Modality.SEGMENTATION} and series.frames
        for one in _of_series(series)
    ]
    return tuple(dict.fromkeys(found))


def _looked_at(series: Series, most: int) -> tuple[Frame, ...]:
    if series.modality in SINGLE_VIEWS:
        return series.frames[:most]
    middle = len(series.frames) // 2
    return series.frames[middle : middle + 1] if most > 0 else ()


def _photograph(frame: Frame, series: Series) -> Iterator[Finding]:
    try:
        picture = frame.displayed(at_least_px=COPY_PX)
    except ImageError:
        return
    if picture.ndim != 3:
        return
    instance = frame.instance
    shorter = min(instance.rows, instance.columns)
    for one in look_at_photograph(picture, shorter_side_px=shorter):
        yield replace(one, instance=instance.sop_instance_uid, series=series.uid)


def _radiology(series: Series, frames: tuple[Frame, ...]) -> Iterator[Finding]:
    from data.quality import radiology  # noqa: PLC0415 - pydicom takes .3 s to import

    of_series = _of_series(series)
    yield from of_series
    is_declared = any(one.fault is Fault.TEXT_IN_PICTURE for one in of_series)
    for frame in frames:
        try:
            picture = frame.displayed(at_least_px=COPY_PX)
        except ImageError:
            continue
        told = [] if is_declared else list(radiology.judge_text(picture))
        if series.modality in radiology.RADIOGRAPHS:
            told += radiology.judge_radiograph(picture)
        for one in told:
            yield replace(one, instance=frame.instance.sop_instance_uid, series=series.uid)


def _of_series(series: Series) -> tuple[Finding, ...]:
    # pydicom takes .3 s to import, and photographs do without
    from data.dicom.header import read_header  # noqa: PLC0415
    from data.quality import radiology  # noqa: PLC0415

    try:
        header = read_header(series.frames[0].instance.path)
    except ImageError:
        return ()
    found = [*radiology.judge_header(header, series), *radiology.judge_places(series)]
    return tuple(replace(one, series=series.uid) for one in found)
