import pytest

from serving.errors import StartError
from serving.scoring.pool import AT_ONCE_ON_GPU, ScoringPool
from serving.scoring.providers import CPU, CUDA, TENSORRT, execution_providers
from serving.settings import Provider

EVERYTHING = (TENSORRT, CUDA, CPU)


@pytest.mark.parametrize(
    ("asked", "given"),
    [(Provider.CPU, (CPU,)), (Provider.CUDA, (CUDA,)), (Provider.TENSORRT, (TENSORRT, CUDA))],
)
def test_what_is_asked_for_is_given_and_never_the_cpu_beside_it(
    asked: Provider, given: tuple[str, ...]
) -> None:
    assert execution_providers(asked, available=EVERYTHING) == given


@pytest.mark.parametrize(
    ("asked", "available", "lacks"),
    [
        (Provider.CUDA, (CPU,), CUDA),
        (Provider.TENSORRT, (CPU,), f"{TENSORRT}, {CUDA}"),
        (Provider.TENSORRT, (CUDA, CPU), TENSORRT),
    ],
)
def test_what_is_not_there_is_refused_by_name(
    asked: Provider, available: tuple[str, ...], lacks: str
) -> None:
    with pytest.raises(StartError, match=f"FIRSTREAD_PROVIDER is {asked}") as refused:
        execution_providers(asked, available=available)
    assert f"lacks {lacks} " in str(refused.value)


@pytest.mark.parametrize(("provider", "n_at_once"), [(CPU, 2), (CUDA, 2 * AT_ONCE_ON_GPU)])
def test_a_process_is_at_one_study_on_a_cpu_and_at_several_on_a_gpu(provider: str, n_at_once: int) -> None:
    pool = ScoringPool([], workers=2, providers=[provider])
    try:
        assert pool.n_at_once == n_at_once
    finally:
        pool.close(finish=False)
