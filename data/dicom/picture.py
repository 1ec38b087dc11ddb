"""What must be known to turn one file's pixel data into pictures, gathered from its header once."""

from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset

from data.dicom.files import DOUBLE_PIXEL_DATA, FLOAT_PIXEL_DATA, OpenedObject, PixelElement
from data.dicom.fragments import Fragment, frame_fragments
from data.dicom.header import functional_groups, integer_of, items_of, numbers_of, text_of, value_of
from data.dicom.luts import Lut, LutError, modality_lut, palette, voi_luts
from data.dicom.pixels import PixelForm, Sample
from data.dicom.windows import VoiWindow, WindowFunction
from data.errors import ImageError, Reason
from data.study import QuantityUnit

# An hour of ultrasound at 25 frames a second is 90,000.
MAX_FRAMES = 100_000
# A mammogram has 30 million; four times that still fits a worker's memory as float32.
MAX_FRAME_PIXELS = 1 << 27


@dataclass(frozen=True, slots=True)
class GreyTransform:
    """From stored to modality values, and the windows upon these, of one frame."""

    slope: float = 1.0
    intercept: float = 0.0
    windows: tuple[VoiWindow, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One file's pixel data: layout, place, and the transforms of its frames.

    `transforms` has one entry for each frame, or a single one for all. `padding` is the lowest and
    highest stored value that is no picture. `unit` is None for colour.
    """

    form: PixelForm
    n_frames: int
    transfer_syntax: str
    is_little_endian: bool
    pixels: PixelElement
    fragments: tuple[tuple[Fragment, ...], ...]
    transforms: tuple[GreyTransform, ...]
    modality_lut: Lut | None
    voi_luts: tuple[Lut, ...]
    palette: Lut | None
    is_inverted: bool
    padding: tuple[int, int] | None
    unit: QuantityUnit | None

    @property
    def is_colour(self) -> bool:
        """Whether its frames are shown in colour."""
        return self.palette is not None or self.form.samples >= 3

    def transform(self, index: int) -> GreyTransform:
        """Give the transform of a frame."""
        return self.transforms[index if len(self.transforms) > 1 else 0]


def picture_of(path: Path, opened: OpenedObject) -> Picture:
    """Gather what an opened object says of its pixels, and check it against the bytes that are there.

    Raises
    ------
    ImageError
        If there are no pixels, the layout is not said or not possible, more frames or pixels are declared
        than the limits allow, or fewer bytes are there than declared.
    """
    dataset = opened.dataset
    if opened.pixels is None:
        raise ImageError(path, Reason.NO_PIXELS, "has no pixel data", "send the image it belongs to")
    form = _form(path, dataset, opened.pixels)
    n_frames = _n_frames(path, dataset)
    fragments: tuple[tuple[Fragment, ...], ...] = ()
    if opened.pixels.is_encapsulated:
        fragments = frame_fragments(
            path,
            opened.stream,
            opened.pixels.offset,
            opened.n_bytes,
            n_frames,
            is_little_endian=opened.is_little_endian,
            extended_offsets=_extended_offsets(dataset),
        )
    else:
        form = _checked_native_form(path, form, opened, n_frames)
    is_palette = form.photometric == "PALETTE COLOR"
    try:
        colours = palette(dataset) if is_palette else None
        modality = modality_lut(dataset)
    except LutError as error:
        raise ImageError(
            path, Reason.CORRUPT, f"has a broken lookup table ({error})", "export it again"
        ) from error
    is_colour = is_palette or form.samples >= 3
    return Picture(
        form=form,
        n_frames=n_frames,
        transfer_syntax=opened.transfer_syntax,
        is_little_endian=opened.is_little_endian,
        pixels=opened.pixels,
        fragments=fragments,
        transforms=_transforms(dataset, n_frames),
        modality_lut=modality,
        voi_luts=() if is_colour else voi_luts(dataset, is_signed=form.is_signed),
        palette=colours,
        is_inverted=form.photometric == "MONOCHROME1"
        or text_of(dataset, "PresentationLUTShape") == "INVERSE",
        padding=_padding(dataset, form),
        unit=None if is_colour else _unit(dataset),
    )


def _form(path: Path, dataset: Dataset, pixels: PixelElement) -> PixelForm:
    rows, columns, allocated = (
        _required(path, dataset, keyword) for keyword in ("Rows", "Columns", "BitsAllocated")
    )
    sample = {FLOAT_PIXEL_DATA: Sample.FLOAT, DOUBLE_PIXEL_DATA: Sample.DOUBLE}.get(
        pixels.tag, Sample.INTEGER
    )
    samples = integer_of(dataset, "SamplesPerPixel") or 1
    widths = {Sample.INTEGER: {1, 8, 12, 16, 32, 64}, Sample.FLOAT: {32}, Sample.DOUBLE: {64}}[sample]
    if allocated not in widths or samples not in {1, 3, 4}:
        raise ImageError(
            path,
            Reason.UNSUPPORTED_ENCODING,
            f"has {samples} {sample} samples of {allocated} bits a pixel",
            "export it with 8 or 16 bits and 1 or 3 samples",
        )
    if rows * columns > MAX_FRAME_PIXELS:
        raise ImageError(
            path,
            Reason.TOO_MANY_PIXELS,
            f"has {rows} x {columns} pixels, more than {MAX_FRAME_PIXELS:,}",
            "send it at a lower resolution",
        )
    stored = integer_of(dataset, "BitsStored") or allocated
    stored = stored if 0 < stored <= allocated else allocated
    high_bit = integer_of(dataset, "HighBit")
    return PixelForm(
        rows=rows,
        columns=columns,
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit if high_bit is not None and stored - 1 <= high_bit < allocated else stored - 1,
        is_signed=integer_of(dataset, "PixelRepresentation") == 1,
        photometric=text_of(dataset, "PhotometricInterpretation").upper()
        or ("RGB" if samples >= 3 else "MONOCHROME2"),
        is_planar=samples > 1 and integer_of(dataset, "PlanarConfiguration") == 1,
        sample=sample,
    )


def _required(path: Path, dataset: Dataset, keyword: str) -> int:
    number = integer_of(dataset, keyword)
    if number is None or number <= 0:
        raise ImageError(
            path, Reason.CORRUPT, f"does not say its {keyword}", "export it again from its source"
        )
    return number


def _n_frames(path: Path, dataset: Dataset) -> int:
    if not text_of(dataset, "NumberOfFrames"):
        return 1
    n_frames = integer_of(dataset, "NumberOfFrames")
    if n_frames is None or n_frames < 0:
        raise ImageError(
            path,
            Reason.CORRUPT,
            f"says {text_of(dataset, 'NumberOfFrames')!r} for its number of frames",
            "export it again from its source",
        )
    if n_frames > MAX_FRAMES:
        raise ImageError(
            path,
            Reason.TOO_MANY_FRAMES,
            f"declares {n_frames:,} frames, more than {MAX_FRAMES:,}",
            "split it",
        )
    return n_frames or 1


def _checked_native_form(path: Path, form: PixelForm, opened: OpenedObject, n_frames: int) -> PixelForm:
    assert opened.pixels is not None
    n_there = min(opened.pixels.length, max(0, opened.n_bytes - opened.pixels.offset))
    if form.is_subsampled and n_there >= n_frames * form.rows * form.columns * 3 * form.bits_allocated // 8:
        # Labelled 4:2:2, stored in full: what a converter leaves that decompresses and keeps the label.
        form = replace(form, photometric="YBR_FULL")
    n_needed = -(-n_frames * form.n_bits // 8)
    if n_there < n_needed:
        raise ImageError(
            path,
            Reason.TRUNCATED,
            f"holds {n_there:,} of the {n_needed:,} bytes of pixel data that its header declares",
            "send the file again",
        )
    return form


def _extended_offsets(dataset: Dataset) -> tuple[int, ...]:
    value = value_of(dataset, "ExtendedOffsetTable")
    if not isinstance(value, bytes):
        return ()
    return tuple(int.from_bytes(value[at : at + 8], "little") for at in range(0, len(value) // 8 * 8, 8))


def _transforms(dataset: Dataset, n_frames: int) -> tuple[GreyTransform, ...]:
    whole = _read_transform(dataset, dataset, ())
    if "PerFrameFunctionalGroupsSequence" not in dataset and "SharedFunctionalGroupsSequence" not in dataset:
        return (whole,)
    found: list[GreyTransform] = []
    kept: dict[GreyTransform, GreyTransform] = {}
    for index in range(n_frames):
        rescale, voi = dataset, dataset
        for group in reversed(tuple(functional_groups(dataset, index))):
            rescale = next(iter(items_of(group, "PixelValueTransformationSequence")), rescale)
            voi = next(iter(items_of(group, "FrameVOILUTSequence")), voi)
        transform = _read_transform(rescale, voi, whole.windows)
        found.append(kept.setdefault(transform, transform))
    return tuple(found) if len(kept) > 1 else tuple(kept)


def _read_transform(rescale: Dataset, voi: Dataset, otherwise: tuple[VoiWindow, ...]) -> GreyTransform:
    slope = numbers_of(rescale, "RescaleSlope")[:1]
    intercept = numbers_of(rescale, "RescaleIntercept")[:1]
    function = WindowFunction.of(text_of(voi, "VOILUTFunction"))
    names = text_of(voi, "WindowCenterWidthExplanation").split("\\")
    windows = tuple(
        VoiWindow(centre, width, function, names[index] if index < len(names) else "")
        for index, (centre, width) in enumerate(
            zip(numbers_of(voi, "WindowCenter"), numbers_of(voi, "WindowWidth"), strict=False)
        )
    )
    return GreyTransform(
        # A slope of 0 would make every pixel equal; it stands where a writer had none to give.
        slope=slope[0] if slope and slope[0] != 0 else 1.0,
        intercept=intercept[0] if intercept else 0.0,
        windows=tuple(window for window in windows if window.is_valid) or otherwise,
    )


def _padding(dataset: Dataset, form: PixelForm) -> tuple[int, int] | None:
    value = integer_of(dataset, "PixelPaddingValue")
    if value is None or form.sample is not Sample.INTEGER:
        return None
    limit = integer_of(dataset, "PixelPaddingRangeLimit")
    ends = [_as_stored(number, form) for number in (value, value if limit is None else limit)]
    return min(ends), max(ends)


def _as_stored(number: int, form: PixelForm) -> int:
    """Read a padding value as the pixels are read: it is often written with the other sign."""
    if form.is_signed:
        half = 1 << (form.bits_allocated - 1)
        return (number + half) % (2 * half) - half
    return number % (1 << form.bits_allocated)


def _unit(dataset: Dataset) -> QuantityUnit:
    kinds = [text_of(dataset, "RescaleType")]
    has_rescale = "RescaleSlope" in dataset
    for group in functional_groups(dataset, 0):
        for item in items_of(group, "PixelValueTransformationSequence"):
            kinds.append(text_of(item, "RescaleType"))
            has_rescale = True
    named = next((kind for kind in kinds if kind), "HU")
    is_ct = text_of(dataset, "Modality") == "CT"
    return QuantityUnit.HOUNSFIELD if is_ct and has_rescale and named == "HU" else QuantityUnit.UNSPECIFIED
