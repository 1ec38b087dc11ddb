"""On what models run: asked for by a setting, refused where it is absent, never replaced in silence."""

from collections.abc import Mapping, Sequence

from serving.errors import StartError
from serving.settings import Provider

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"


# TensorRT leaves to CUDA what it cannot take; neither leaves anything to the CPU (:mod:`models.runtime`).
EXECUTION_PROVIDERS: Mapping[Provider, tuple[str, ...]] = {
    Provider.CPU: (CPU,),
    Provider.CUDA: (CUDA,),
    Provider.TENSORRT: (TENSORRT, CUDA),
}


def execution_providers(asked: Provider, *, available: Sequence[str] | None = None) -> tuple[str, ...]:
    """Give onnxruntime's names of what was asked for.

    Raises
    ------
    StartError
        If this installation does not offer it.

    Examples
    --------
    >>> execution_providers(Provider.CPU)
    ('CPUExecutionProvider',)
    """
    wanted = EXECUTION_PROVIDERS[asked]
    if asked is Provider.CPU:  # always there, and asking would load the runtime into this process
        return wanted
    if available is None:
        from models.runtime import available_providers  # noqa: PLC0415 - see above

        available = available_providers()
    missing = [name for name in wanted if name not in available]
    if missing:
        raise StartError(
            f"FIRSTREAD_PROVIDER is {asked}, but this machine's onnxruntime lacks {', '.join(missing)} (it "
            f"has {', '.join(available)}): install onnxruntime-gpu, or set it to cpu."
        )
    return wanted
