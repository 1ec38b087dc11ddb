"""A 12-megapixel photograph becomes an input of 224 px: ours against Pillow's full decode."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from data.photo import decode_photo
from models.card import Colour, InputSpec, Resize
from models.preprocess import DECODE_MARGIN, placement, to_input
from tests.benchmarks.material import large_photographs
from tests.benchmarks.measuring import Figure, in_turn

SPEC = InputSpec(height=224, width=224, colour=Colour.RGB, resize=Resize.CENTRE_CROP)


def measure() -> list[Figure]:
    """Time both and compare their pictures, on a detailed photograph and on a smooth one."""
    return [figure for name, data in large_photographs().items() for figure in _compare(name, data)]


def _compare(name: str, photograph: bytes) -> list[Figure]:
    def ours() -> NDArray[np.uint8]:
        return to_input(decode_photo(photograph, at_least_px=round(SPEC.height * DECODE_MARGIN)), SPEC)

    def pillow() -> NDArray[np.uint8]:
        image = Image.open(io.BytesIO(photograph)).convert("RGB")
        box = placement(image.height, image.width, SPEC).kept
        return np.asarray(image.resize((224, 224), Image.Resampling.BILINEAR, box=box))

    pair = in_turn(ours, pillow)
    difference = float(np.abs(ours().astype(float) - pillow().astype(float)).mean())
    return [
        Figure(
            f"12-megapixel JPEG ({name}, {len(photograph) / 1e6:.1f} MB) to 224 px",
            f"{pair.speed_up:.1f} x ({1000 * pair.ours_median_s:.1f} ms)",
            f"Pillow's full decode, {1000 * pair.peer_median_s:.0f} ms",
            ">= 5 x",
            pair.speed_up >= 5,
        ),
        Figure(
            "the same, mean difference",
            f"{difference:.2f} grey levels",
            "the full decode, same filter",
            "<= .3",
            difference <= 0.3,
        ),
    ]
