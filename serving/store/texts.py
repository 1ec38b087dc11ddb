"""Text that every database takes: none holds half a character, and PostgreSQL no NUL either."""

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def storable(text: str) -> str:
    r"""Give a text with the replacement character for what cannot be stored of it.

    Examples
    --------
    >>> storable("a\0b"), storable("half \ud800"), storable("学")
    ('a�b', 'half ���', '学')
    """
    if text.isascii():
        return text.replace("\0", _REPLACEMENT)
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", _REPLACEMENT)
