"""The address of a link by which somebody chooses a password."""

from urllib.parse import quote


def link_path(token: str) -> str:
    """Give the path behind the service's own address.

    Examples
    --------
    >>> link_path("a-b_c")
    '/password?token=a-b_c'
    """
    return f"/password?token={quote(token, safe='')}"
