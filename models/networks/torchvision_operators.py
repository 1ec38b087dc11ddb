"""Torchvision, made importable beside a torch that has no CUDA; import its parts from here.

Torchvision's wheels are built against the CUDA torch. Beside a CPU torch their compiled library does not
load, and ``import torchvision`` dies while it describes ``torchvision::nms``, an operator that nobody
declared. Neither its classification networks nor ``transforms.v2`` use any compiled operator, so the two
that the import itself touches are declared here, without an implementation: calling one still fails, with
torch's own message. Where the compiled library loads, nothing is declared.
"""

import torch

# Their schemas as torchvision/csrc/ops/nms.cpp and ops/quantized/cpu/qnms_kernel.cpp declare them.
_SCHEMAS = {
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_UNDECLARED = "operator torchvision::"


def _declare_missing_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in _SCHEMAS.items():
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + schema)
    return library


try:
    from torchvision import models
except RuntimeError as error:
    if not str(error).startswith(_UNDECLARED):
        raise
    # The declarations live as long as this object does.
    LIBRARY = _declare_missing_operators()
    from torchvision import models

from torchvision.models.feature_extraction import (  # noqa: E402 (once it is importable)
    create_feature_extractor,
    get_graph_node_names,
)
from torchvision.transforms import v2  # noqa: E402 (the same)

__all__ = ["create_feature_extractor", "get_graph_node_names", "models", "v2"]
