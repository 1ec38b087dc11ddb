"""The cookies: a session, and the mark of a browser that somebody signed in with before.

Over TLS their names begin with ``__Host-``: the browser then takes them from this host alone, over TLS alone.
Plain http, as on this machine's own address, has other names, so that neither is taken for the other.
"""

from http.cookies import SimpleCookie
from typing import Final

from fastapi import Request, Response

SESSION: Final = "firstread"
DEVICE: Final = "firstread-device"

_SECONDS_OF_A_DEVICE = 180 * 86400
# Lax, for the way back from a hospital's own sign-in is a step from another site.
_SAME_SITE: Final = "lax"


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, to us or to the proxy in front of us."""
    return request.url.scheme == "https"


def read_cookie(request: Request, name: str) -> str | None:
    """Give a cookie's value, None if there is none or it is empty."""
    return request.cookies.get(_name(request, name)) or None


def set_session(request: Request, response: Response, token: str) -> None:
    """Have the browser keep a session for as long as it is open."""
    _set(request, response, SESSION, token, None)


def set_device(request: Request, response: Response, token: str) -> None:
    """Have the browser keep its mark for half a year."""
    _set(request, response, DEVICE, token, _SECONDS_OF_A_DEVICE)


def clear_session(request: Request, response: Response) -> None:
    """Have the browser forget its session."""
    response.headers.append("Set-Cookie", clearing(request))


def clearing(request: Request) -> str:
    """Give the ``Set-Cookie`` that has a browser forget its session."""
    cookie: SimpleCookie = SimpleCookie()
    name = _name(request, SESSION)
    cookie[name] = ""
    for attribute, value in (("path", "/"), ("max-age", 0), ("httponly", True), ("samesite", _SAME_SITE)):
        cookie[name][attribute] = value
    if is_secure(request):
        cookie[name]["secure"] = True
    return cookie[name].OutputString()


def _name(request: Request, name: str) -> str:
    return f"__Host-{name}" if is_secure(request) else name


def _set(request: Request, response: Response, name: str, value: str, max_age: int | None) -> None:
    response.set_cookie(
        _name(request, name),
        value,
        max_age=max_age,
        path="/",
        secure=is_secure(request),
        httponly=True,
        samesite=_SAME_SITE,
    )
