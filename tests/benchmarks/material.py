"""What benchmarks work on: real images where they are, made ones where not."""

import io
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


class BenchmarkSkippedError(Exception):
    """What this benchmark needs is not here."""


def datasets() -> Path:
    """Give the folder of real data sets.

    Raises
    ------
    BenchmarkSkippedError
        If there is none.
    """
    named = os.environ.get("FIRSTREAD_DATASETS")
    folder = Path(named) if named else ROOT.parent / "shared" / "datasets"
    if not folder.is_dir():
        raise BenchmarkSkippedError(f"{folder} does not exist (set FIRSTREAD_DATASETS)")
    return folder


def ham_photographs(n: int) -> list[Path]:
    """Give the first `n` HAM10000 photographs by name."""
    paths = sorted((datasets() / "ham10000_256").glob("HAM10000_images_part_*/*.jpg"))[:n]
    if len(paths) < n:
        raise BenchmarkSkippedError(f"ham10000_256 holds {len(paths)} photographs, {n} are needed")
    return paths


def large_photographs() -> dict[str, bytes]:
    """Make 12-megapixel JPEGs (4000 x 3000, quality 90, 4:2:0): one full of detail, one smooth.

    Real photographs, enlarged, where they are present: 192 side by side, and a single one. Else coloured
    noise whose power falls with the square of the frequency, as in natural images.
    """
    try:
        tiles = [np.asarray(Image.open(path).convert("RGB")) for path in ham_photographs(192)]
    except BenchmarkSkippedError:
        return {"synthetic": _jpeg(Image.fromarray(_natural_noise(3000, 4000)))}
    rows = [np.hstack(tiles[start : start + 16]) for start in range(0, 192, 16)]
    pictures = {"detailed": np.vstack(rows), "smooth": tiles[0][32:224]}
    return {
        name: _jpeg(Image.fromarray(picture).resize((4000, 3000), Image.Resampling.LANCZOS))
        for name, picture in pictures.items()
    }


def _jpeg(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG", quality=90)
    return stream.getvalue()


def _natural_noise(rows: int, columns: int) -> NDArray[np.uint8]:
    rng = np.random.default_rng(20_260_101)
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None], np.fft.rfftfreq(columns)[None, :])
    amplitude = 1.0 / np.maximum(frequency, 1.0 / columns)
    channels = []
    for _ in range(3):
        spectrum = amplitude * np.exp(2j * np.pi * rng.random(amplitude.shape))
        channel = np.fft.irfft2(spectrum, s=(rows, columns))
        channels.append(128 + 50 * channel / channel.std())
    picture: NDArray[np.uint8] = np.clip(np.stack(channels, axis=-1), 0, 255).astype(np.uint8)
    return picture
