"""Synthetic studies made from a seed, for demonstration and tests where no real data is.

They look enough like skin, a chest and a head to go through every part of the program, and carry what the
program is to find (colours and border of a lesion, an opacity, a bleed). They teach no model and measure
none. The word SYNTHETIC is burned into a corner of each picture and stands in each DICOM object's text.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from data.dicom.writing import ObjectInfo, write_ct_series, write_radiograph

LABEL = "SYNTHETIC PHANTOM, NOT A PATIENT"

# Letters of five columns and seven rows, a row's leftmost column its highest bit.
_LETTERS = {
    "S": (15, 16, 16, 14, 1, 1, 30),
    "Y": (17, 17, 10, 4, 4, 4, 4),
    "N": (17, 25, 21, 19, 17, 17, 17),
    "T": (31, 4, 4, 4, 4, 4, 4),
    "H": (17, 17, 17, 31, 17, 17, 17),
    "E": (31, 16, 16, 30, 16, 16, 31),
    "I": (14, 4, 4, 4, 4, 4, 14),
    "C": (14, 17, 16, 16, 16, 17, 14),
}
_SKINS = np.array([[232, 190, 172], [224, 176, 148], [198, 146, 112], [150, 102, 74], [104, 70, 52]], float)
_BROWN, _DARK, _BLUE_GREY, _RED, _PALE = np.array(
    [[132, 84, 58], [58, 36, 30], [92, 98, 116], [186, 74, 72], [214, 190, 182]], float
)


@dataclass(frozen=True, slots=True)
class HeadCt:
    """A head's slices, the lowest first.

    `hounsfield` is (n_slices, rows, columns) int16 in HU; `bleed_slices` counts from 0 and is empty where
    there is no bleed; `spacing_mm` and `thickness_mm` are in mm.
    """

    hounsfield: NDArray[np.int16]
    bleed_slices: tuple[int, ...]
    spacing_mm: float
    thickness_mm: float


def skin_lesion(
    seed: int, *, looks_malignant: bool, rows: int = 450, columns: int = 600
) -> NDArray[np.uint8]:
    """Draw a photograph of a pigmented lesion.

    One that looks benign is round, even in colour and soft at its border; one that looks malignant is
    asymmetric, has a notched border and several colours (the ABCD of dermoscopy).

    Returns
    -------
    (rows, columns, 3) uint8
        sRGB.

    Examples
    --------
    >>> skin_lesion(1, looks_malignant=True, rows=90, columns=120).shape
    (90, 120, 3)
    """
    chance = np.random.default_rng([seed, 1, looks_malignant])
    shape = (rows, columns)
    skin = _SKINS[chance.integers(len(_SKINS))] + chance.normal(0, 4, 3)
    picture = skin * (1 + 0.05 * _cloud(chance, shape, 4) + 0.03 * _cloud(chance, shape, 60))[..., None]

    y, x = _grid(shape)
    centre_y, centre_x = chance.uniform(-0.15, 0.15, 2)
    angle = np.arctan2(y - centre_y, x - centre_x)
    distance = np.hypot(y - centre_y, x - centre_x)
    waves = np.arange(2, 9)
    unevenness = 0.30 if looks_malignant else 0.04
    heights = chance.normal(0, unevenness / waves, len(waves))
    phases = chance.uniform(0, 2 * np.pi, len(waves))
    radius = chance.uniform(0.45, 0.6) * (
        1 + (heights * np.cos(waves * angle[..., None] + phases)).sum(axis=-1)
    )
    softness = 0.03 if looks_malignant else 0.06
    inside = 1 / (1 + np.exp(np.clip((distance - radius) / softness, -30, 30)))

    lesion = np.broadcast_to(_BROWN, picture.shape) * (1 - 0.25 * inside[..., None])
    if looks_malignant:
        for colour in (_DARK, _BLUE_GREY, _RED, _PALE, _DARK):
            patch = np.clip(4 * (_cloud(chance, shape, 5) - 0.6), 0, 1)[..., None]
            lesion = lesion * (1 - patch) + colour * patch
    lesion = lesion * (1 + 0.10 * _cloud(chance, shape, 40))[..., None]
    picture = picture * (1 - inside[..., None]) + lesion * inside[..., None]
    picture += chance.normal(0, 2.5, picture.shape)
    result: NDArray[np.uint8] = np.clip(picture, 0, 255).round().astype(np.uint8)
    _burn_in(result, 255)
    return result


def chest_radiograph(seed: int, *, has_opacity: bool, side_px: int = 512) -> NDArray[np.uint8]:
    """Draw a frontal chest radiograph, with or without an opacity in one lung.

    With and without are the same chest.

    Returns
    -------
    (side_px, side_px) uint8
        Grey, bones bright.
    """
    chance, place = np.random.default_rng([seed, 2]), np.random.default_rng([seed, 2, 1])
    shape = (side_px, side_px)
    y, x = _grid(shape)
    grey = 150 * _ellipse(y, x, (0.25, 0.0), (1.25, 0.92), 0.05)
    ribs = 14 * np.clip(np.cos(2 * np.pi * (4.6 * y + 1.7 * x**2 + chance.uniform(0, 1))) - 0.3, 0, 1)
    for side in (-1, 1):
        middle = (chance.uniform(-0.08, 0.0), side * 0.42)
        lung = _ellipse(y, x, middle, (0.62, 0.30), 0.04)
        grey = grey * (1 - lung) + (48 + ribs + 10 * _cloud(chance, shape, 30)) * lung
        if has_opacity and side == (1 if seed % 2 else -1):
            middle = (place.uniform(-0.35, 0.1), side * place.uniform(0.38, 0.48))
            cloud = _ellipse(y, x, middle, (0.24, 0.18), 0.08) * (0.8 + 0.2 * _cloud(place, shape, 12))
            grey = grey + 95 * np.clip(cloud, 0, 1) * lung
    grey = np.maximum(grey, 165 * _ellipse(y, x, (0.25, 0.14), (0.34, 0.34), 0.05))  # the heart
    grey = np.maximum(grey, 190 * _ellipse(y, x, (0.0, 0.0), (1.4, 0.09), 0.03))  # the spine
    grey = grey + chance.normal(0, 3, shape)
    result: NDArray[np.uint8] = np.clip(grey, 0, 255).round().astype(np.uint8)
    _burn_in(result, 255)
    return result


def head_ct(seed: int, *, has_bleed: bool, n_slices: int = 30, side_px: int = 256) -> HeadCt:
    """Draw a head CT: skull, brain, ventricles and, if asked for, a bright bleed of 60 to 75 HU.

    With and without are the same head.

    Notes
    -----
    Values follow common teaching figures: air -1000, scalp 20, bone 1100, brain 34, cerebrospinal fluid
    6 HU. A slice counts as bleeding from 20 pixels of the bleed on.
    """
    chance = np.random.default_rng([seed, 3])
    heights = np.linspace(-0.75, 0.9, n_slices)
    y, x = _grid((side_px, side_px))
    side = chance.choice([-1.0, 1.0])
    place = (chance.uniform(-0.25, 0.25), side * chance.uniform(0.22, 0.35), chance.uniform(-0.25, 0.4))
    radii = (chance.uniform(0.12, 0.2), chance.uniform(0.1, 0.16), chance.uniform(0.16, 0.26))
    density = chance.uniform(60, 75)

    volume = np.empty((n_slices, side_px, side_px), np.int16)
    bleed_slices = []
    for number, height in enumerate(heights):
        size = float(np.sqrt(1 - 0.9 * height**2))
        brain = _within(y, x, 0.74 * size, 0.60 * size)
        values = np.full(y.shape, -1000.0)
        values[_within(y, x, 0.87 * size, 0.73 * size)] = 20
        values[_within(y, x, 0.82 * size, 0.68 * size)] = 1100
        values[brain] = (34 + 3 * _cloud(chance, y.shape, 10))[brain]
        if abs(height) < 0.4:
            part = float(np.sqrt(1 - (height / 0.4) ** 2))
            values[_within(y + 0.05, np.abs(x) - 0.09, 0.26 * part, 0.055 * part) & brain] = 6
        depth = abs(height - place[2]) / radii[2]
        if has_bleed and depth < 1:
            part = float(np.sqrt(1 - depth**2))
            bleed = _within(y - place[0], x - place[1], radii[0] * part, radii[1] * part) & brain
            values[bleed] = density
            if np.count_nonzero(bleed) >= 20:
                bleed_slices.append(number)
        values += chance.normal(0, 3, values.shape)
        volume[number] = values.round()
        _burn_in(volume[number], 1100)
    thickness_mm = 150 / n_slices
    return HeadCt(volume, tuple(bleed_slices), spacing_mm=230 / side_px, thickness_mm=thickness_mm)


def write_photo(path: Path, picture: NDArray[np.uint8], *, quality: int = 92) -> Path:
    """Write sRGB pixels, (rows, columns, 3) uint8, as a JPEG without metadata."""
    path.write_bytes(simplejpeg.encode_jpeg(picture, quality=quality, colorsubsampling="420"))
    return path


def write_sample_studies(
    folder: Path, *, seed: int, n_skin: int = 6, n_chest: int = 2, n_head: int = 2
) -> list[Path]:
    """Write phantoms as files, every other one with something to find, and give the studies' paths.

    A skin study is a JPEG, a chest a DICOM file, a head a folder of DICOM files. The same seed writes
    the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    studies = []
    for number in range(n_skin):
        picture = skin_lesion(seed + number, looks_malignant=number % 2 == 1)
        studies.append(write_photo(folder / f"skin-{number + 1:02}.jpg", picture))
    for number in range(n_chest):
        info = _info(f"chest {seed} {number}", "CHEST", "Phantom chest")
        grey = chest_radiograph(seed + number, has_opacity=number % 2 == 1)
        studies.append(write_radiograph(folder / f"chest-{number + 1:02}.dcm", grey, info=info))
    for number in range(n_head):
        head = head_ct(seed + number, has_bleed=number % 2 == 1)
        place = folder / f"head-{number + 1:02}"
        write_ct_series(
            place,
            head.hounsfield,
            info=_info(f"head {seed} {number}", "HEAD", "Phantom head"),
            spacing_mm=(head.spacing_mm, head.spacing_mm),
            thickness_mm=head.thickness_mm,
        )
        studies.append(place)
    return studies


def _info(seed: str, body_part: str, description: str) -> ObjectInfo:
    return ObjectInfo(
        seed=f"phantom {seed}",
        label=LABEL,
        patient_id=f"PHANTOM-{seed.replace(' ', '-').upper()}",
        patient_name="SYNTHETIC^PHANTOM",
        issuer="FIRSTREAD-PHANTOMS",
        study_description=f"SYNTHETIC: {description}",
        body_part=body_part,
    )


def _grid(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    # From -1 to 1 along the shorter side, 0 in the middle.
    rows, columns = shape
    half = min(shape) / 2
    y = (np.arange(rows) - (rows - 1) / 2) / half
    x = (np.arange(columns) - (columns - 1) / 2) / half
    return np.broadcast_to(y[:, None], shape), np.broadcast_to(x[None], shape)


def _within(
    y: NDArray[np.float64], x: NDArray[np.float64], radius_y: float, radius_x: float
) -> NDArray[np.bool_]:
    return np.asarray((y / radius_y) ** 2 + (x / radius_x) ** 2 < 1)


def _ellipse(
    y: NDArray[np.float64],
    x: NDArray[np.float64],
    middle: tuple[float, float],
    radii: tuple[float, float],
    softness: float,
) -> NDArray[np.float64]:
    beyond = np.hypot((y - middle[0]) / radii[0], (x - middle[1]) / radii[1]) - 1
    return np.asarray(1 / (1 + np.exp(np.clip(beyond / softness, -30, 30))))


def _cloud(chance: np.random.Generator, shape: tuple[int, int], cells: int) -> NDArray[np.float64]:
    """Noise of standard deviation 1 at its knots, smooth between them, `cells` to a side."""
    knots = chance.normal(size=(cells + 1, cells + 1))
    down, across = (_interpolation(n_pixels, cells) for n_pixels in shape)
    return down @ knots @ across.T


def _interpolation(n_pixels: int, cells: int) -> NDArray[np.float64]:
    place = np.linspace(0, cells, n_pixels)
    left = np.minimum(place.astype(np.intp), cells - 1)
    part = place - left
    part = part * part * (3 - 2 * part)
    weights = np.zeros((n_pixels, cells + 1))
    weights[np.arange(n_pixels), left] = 1 - part
    weights[np.arange(n_pixels), left + 1] = part
    return weights


def _burn_in(picture: NDArray[np.uint8] | NDArray[np.int16], brightness: int) -> None:
    """Write SYNTHETIC into the upper left corner of `picture`, which is changed."""
    word = np.concatenate([_letter(letter) for letter in "SYNTHETIC"], axis=1)
    scale = max(1, min(picture.shape[:2]) // 220)
    word = word.repeat(scale, axis=0).repeat(scale, axis=1)
    corner = picture[4 : 4 + word.shape[0], 4 : 4 + word.shape[1]]
    corner[word[: corner.shape[0], : corner.shape[1]]] = brightness


def _letter(letter: str) -> NDArray[np.bool_]:
    rows = np.array(_LETTERS[letter])[:, None]
    return (rows << 1 >> np.arange(5, -1, -1)) & 1 > 0  # a sixth column parts it from the next
