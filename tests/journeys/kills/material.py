"""Images for senders: each unlike every other, small, and made again from its seed and number."""

import hashlib
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.dicom.writing import ObjectInfo, write_photograph
from data.study import Modality

SIDE_PX = 48


@dataclass(frozen=True, slots=True)
class Picture:
    """One file: its name, its bytes and the pixels that a reader must see."""

    name: str
    content: bytes
    pixels: NDArray[np.uint8]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def pixels_of(*seed: int) -> NDArray[np.uint8]:
    """Make a picture of noise: (SIDE_PX, SIDE_PX, 3) uint8."""
    return np.random.default_rng(seed).integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def photograph(*seed: int) -> Picture:
    """Make a PNG; each is a study of its own."""
    pixels = pixels_of(*seed)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return Picture(f"{_name(seed)}.png", buffer.getvalue(), pixels)


def dicom_image(*seed: int, instance: int) -> Picture:
    """Make image `instance` of the one study that `seed` stands for."""
    pixels = pixels_of(*seed, instance)
    info = ObjectInfo(
        seed=_name(seed),
        label="SYNTHETIC, NOT A PATIENT",
        patient_id=f"P{_name(seed)}",
        performed_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    with TemporaryDirectory() as folder:
        path = Path(folder) / "image.dcm"
        write_photograph(path, pixels, info=info, modality=Modality.DERMOSCOPY, instance=instance)
        return Picture(f"{_name(seed)}-{instance}.dcm", path.read_bytes(), pixels)


def _name(seed: tuple[int, ...]) -> str:
    return "-".join(str(part) for part in seed)
