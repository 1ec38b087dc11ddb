"""A novelty model on disk: an ``npz`` archive of plain arrays, bounded in size and without pickles."""

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.appearance import Aspect
from models.likeness import Likeness
from models.novelty import NoveltyModel

# 2,048 features, 64 components and 1,000 classes take 9 MB; a larger file is no novelty model.
MAX_BYTES = 64_000_000

_LOOK = ("mean", "spread", "whitening", "limit", "power")


def to_npz(model: NoveltyModel) -> bytes:
    """Write the model as an ``npz`` archive without pickles; the same model gives the same bytes."""
    arrays: dict[str, NDArray[Any]] = {
        "means": model.means,
        "basis": model.basis,
        "scales": model.scales,
        "residual_scale": np.array(model.residual_scale),
        "threshold": np.array(model.threshold),
        "acceptance": np.array(model.acceptance),
    }
    if model.looks:
        arrays |= {"limit": np.array(model.limit), "power": np.array(model.power)}
    for look in model.looks:
        arrays |= {_name(look.aspect, part): np.asarray(getattr(look, part)) for part in _LOOK}
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **arrays)
    return content.getvalue()


def from_npz(content: bytes) -> NoveltyModel:
    """Read what :func:`to_npz` wrote.

    Raises
    ------
    ValueError
        If the archive is broken or too large, holds objects, or its arrays do not fit together.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(part.file_size for part in archive.infolist()) > MAX_BYTES:
                raise ValueError(f"is larger than {MAX_BYTES} bytes: it is not a novelty archive")
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return NoveltyModel(
                means=arrays["means"].astype(np.float32),
                basis=arrays["basis"].astype(np.float32),
                scales=arrays["scales"].astype(np.float32),
                residual_scale=float(arrays["residual_scale"]),
                threshold=float(arrays["threshold"]),
                acceptance=float(arrays["acceptance"]),
                limit=float(arrays["limit"]) if "limit" in arrays else 1.0,
                power=float(arrays["power"]) if "power" in arrays else 1.0,
                looks=tuple(_look(arrays, aspect) for aspect in Aspect if _name(aspect, "mean") in arrays),
            )
    except (KeyError, EOFError, OSError, TypeError, zipfile.BadZipFile) as error:
        raise ValueError(f"is not a novelty archive: {error}") from error


def _look(arrays: Mapping[str, NDArray[Any]], aspect: Aspect) -> Likeness:
    mean, spread, whitening = (
        arrays[_name(aspect, part)].astype(np.float32) for part in ("mean", "spread", "whitening")
    )
    limit, power = (float(arrays[_name(aspect, part)]) for part in ("limit", "power"))
    return Likeness(aspect, mean, spread, whitening, limit, power)


def _name(aspect: Aspect, part: str) -> str:
    return f"{aspect}_{part}"


def save(model: NoveltyModel, path: Path) -> None:
    """Write the model to a file; :func:`load` reads it."""
    path.write_bytes(to_npz(model))


def load(path: Path) -> NoveltyModel:
    """Read a model from a file that :func:`save` wrote.

    Raises
    ------
    ValueError
        If it is none.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"is larger than {MAX_BYTES} bytes: it is not a novelty archive")
    return from_npz(path.read_bytes())
