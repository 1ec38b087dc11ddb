"""Fills in the templates of the pages, in the language of whoever reads them."""

import hashlib
from http import HTTPStatus
from pathlib import Path
from typing import Annotated

from fastapi import Depends, Header, Query, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from serving.identity.caller import acting_caller
from serving.web.account_wording import account_wording_of
from serving.web.wording import Wording, wording_of
from serving.worklist.language import Language, choose_language

_FOLDER = Path(__file__).parent

MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


def _words(
    lang: Annotated[Language | None, Query()] = None, accept_language: Annotated[str | None, Header()] = None
) -> Wording:
    return wording_of(choose_language(accept_language, lang))


Words = Annotated[Wording, Depends(_words)]


class Pages:
    """Fills in the templates."""

    def __init__(self) -> None:
        self.assets = {
            path.name: path.read_bytes()
            for path in (_FOLDER / "assets").iterdir()
            if path.suffix in MEDIA_TYPES
        }
        self._version = hashlib.sha256(
            b"".join(self.assets[name] for name in sorted(self.assets))
        ).hexdigest()[:12]
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            auto_reload=False,
        )

    def fill(
        self,
        template: str,
        request: Request,
        words: Wording,
        status: int = HTTPStatus.OK,
        **values: object,
    ) -> HTMLResponse:
        """Make a page; what a stranger sent is escaped."""
        html = self._templates.get_template(template).render(
            words=words,
            say=account_wording_of(Language(words.code)),
            caller=acting_caller(request),
            path=request.url.path,
            assets_version=self._version,
            **values,
        )
        return HTMLResponse(
            html, status, headers={"Cache-Control": "no-store", "Content-Language": words.code}
        )
