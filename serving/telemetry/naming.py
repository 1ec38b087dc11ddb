"""What a piece of work is about, so that every line of the log that it writes says so."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_named: ContextVar[Mapping[str, str]] = ContextVar("firstread.named", default=MappingProxyType({}))


@contextmanager
def naming(**names: str) -> Iterator[None]:
    """Let every line of the log say these names while this lasts, in the threads it hands work to as well.

    Examples
    --------
    >>> with naming(request_id="7f"), naming(study="a1"):
    ...     sorted(named().items())
    [('request_id', '7f'), ('study', 'a1')]
    """
    token = _named.set(MappingProxyType({**_named.get(), **names}))
    try:
        yield
    finally:
        _named.reset(token)


def named() -> Mapping[str, str]:
    """Give the names that hold now."""
    return _named.get()
