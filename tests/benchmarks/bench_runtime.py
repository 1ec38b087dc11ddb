"""EfficientNet-Lite0 at 224 px, one picture at a time on one thread: ONNX Runtime against torch eager."""

import numpy as np
import onnxruntime
import torch

from models.networks.build import build_network
from tests.benchmarks.measuring import Figure, in_turn
from training.export import to_onnx

PX = 224


def measure() -> list[Figure]:
    """Time both on the same network and picture."""
    network = build_network("efficientnet-lite0", n_classes=7, pretrained=False).eval()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(to_onnx(network, PX), options, providers=["CPUExecutionProvider"])
    picture = np.random.default_rng(1).integers(0, 256, (1, PX, PX, 3), dtype=np.uint8)
    tensor = (
        torch.from_numpy(picture).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
    )
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stub lacks it

    def eager() -> None:
        with torch.inference_mode():
            network(tensor)

    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        pair = in_turn(lambda: session.run(None, {"image": picture}), eager, rounds=40)
    finally:
        torch.set_num_threads(n_threads)
    return [
        Figure(
            "ONNX fp32, one thread, batch 1, Lite0 at 224 px",
            f"{pair.speed_up:.1f} x ({1000 * pair.ours_median_s:.1f} ms)",
            f"torch eager, one thread, channels last, {1000 * pair.peer_median_s:.1f} ms",
            ">= 3 x",
            pair.speed_up >= 3,
        )
    ]
