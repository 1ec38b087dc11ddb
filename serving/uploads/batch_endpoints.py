"""/api/v1/uploads/batches: files that belong together, and the word that there will be no more."""

from typing import Annotated

from fastapi import APIRouter, Path, Response, status

from serving.intake.endpoints import answer_with_outcome
from serving.intake.schemas import UploadAnswer
from serving.uploads.endpoints import ActingSender
from serving.uploads.schemas import BatchEnd, BatchView
from serving.uploads.service import Uploads

Batch = Annotated[
    str, Path(description="The sender's own word for the batch, as in Upload-Metadata; such as a UUID.")
]


def build_router(uploads: Uploads) -> APIRouter:
    """Serve the batches of `uploads` over HTTP."""
    router = APIRouter(prefix="/api/v1/uploads/batches", tags=["uploads"])

    @router.get("/{batch}", summary="Read how far the files of a batch have come, and what became of it")
    def look(batch: Batch, sender: ActingSender) -> BatchView:
        """Give the files of a batch, with the addresses at which each goes on: after a reload, say."""
        return BatchView.of_files(*uploads.find_files(batch, sender=sender))

    @router.post(
        "/{batch}/complete",
        summary="Say that a batch is whole",
        status_code=status.HTTP_201_CREATED,
        responses={200: {"model": UploadAnswer, "description": "All of it was known already."}},
    )
    def complete(
        batch: Batch, response: Response, sender: ActingSender, end: BatchEnd | None = None
    ) -> UploadAnswer:
        """Take all files of a batch as one upload, as POST /api/v1/studies does, and answer as that does.

        The same request again gets the same answer (Idempotent-Replayed). If the server dies in between, the
        batch is taken all the same once it is back. 409 while a file has not come whole.
        """
        end = end or BatchEnd()
        fields = {} if end.context is None else end.context.model_dump(exclude_unset=True, exclude_none=True)
        outcome = uploads.complete(batch, sender=sender, n_files=end.files, fields=fields)
        return answer_with_outcome(outcome, response)

    return router
