"""GET /api/v1/codes: which codes a diagnosis may have."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from serving.reading.codes import Scheme, ValueSet

Words = Annotated[
    str, Query(max_length=100, description="Words in English or Chinese, or the beginning of a code.")
]
Limit = Annotated[int, Query(ge=1, le=200, description="At most this many codes.")]


class CodeView(BaseModel):
    """A code and what it means."""

    scheme: Scheme
    code: str
    en: str
    zh: str


class CodeList(BaseModel):
    """Codes, the nearest first."""

    codes: list[CodeView]


def build_router(codes: ValueSet) -> APIRouter:
    """Serve `codes` over HTTP."""
    router = APIRouter(prefix="/api/v1", tags=["reading"])

    @router.get("/codes", summary="Look for a diagnosis's code")
    def search_codes(q: Words = "", scheme: Scheme | None = None, limit: Limit = 20) -> CodeList:
        """Give codes of SNOMED CT, ICD-10 and ICD-11 that a diagnosis may have."""
        found = codes.search(q, scheme=scheme, limit=limit)
        return CodeList(
            codes=[CodeView(scheme=Scheme(one.scheme), code=one.code, en=one.en, zh=one.zh) for one in found]
        )

    return router
