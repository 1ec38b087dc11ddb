"""EfficientNet-Lite0 at 224 px, one picture at a time on one thread: ONNX Runtime against torch eager."""

from collections.abc import Callable

import numpy as np
import onnxruntime
import torch

from models.networks.build import build_network
from tests.benchmarks.measuring import Figure, in_turn
from training.export import to_onnx
from training.inference import move

PX = 224


def measure() -> list[Figure]:
    """Time both on the same network and picture."""
    network = build_network("efficientnet-lite0", n_classes=7, pretrained=False).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(to_onnx(network, PX), options, providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(1).integers(0, 256, (1, PX, PX, 3), dtype=np.uint8)
    tensor = torch.from_numpy(picture).permute(0, 3, 1, 2).float().contiguous()

    def ours() -> None:
        session.run(None, {"image": picture})

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        plain = in_turn(ours, _eager(network, tensor), rounds=40)
        move(network, torch.device("cpu"))  # channels last
        tuned = in_turn(
            ours, _eager(network, tensor.contiguous(memory_format=torch.channels_last)), rounds=40
        )
    finally:
        torch.set_num_threads(n_threads)
    return [
        Figure(
            "ONNX fp32, one thread, batch 1, Lite0 at 224 px",
            f"{plain.speed_up:.1f} x ({1000 * plain.ours_median_s:.1f} ms)",
            f"torch eager, one thread, {1000 * plain.peer_median_s:.1f} ms",
            ">= 3 x",
            plain.speed_up >= 3,
        ),
        Figure(
            "the same",
            f"{tuned.speed_up:.1f} x",
            f"torch eager, channels last, {1000 * tuned.peer_median_s:.1f} ms",
            "-",
            None,
        ),
    ]


def _eager(network: torch.nn.Module, picture: torch.Tensor) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode():
            network(picture)

    return run
