"""Builds the application; the one place where its parts are put together."""

from importlib import metadata

from fastapi import FastAPI

from serving.intake import endpoints as intake_endpoints
from serving.intake.service import Intake
from serving.operations import endpoints as operations_endpoints
from serving.operations.service import Operations
from serving.problems import RESPONSES, answer_with_problems
from serving.protection import Protection
from serving.studies import endpoints as studies_endpoints
from serving.studies.service import Studies
from serving.web import endpoints as web_endpoints
from serving.worklist import endpoints as worklist_endpoints
from serving.worklist.service import Worklist


def create_app(*, intake: Intake, worklist: Worklist, studies: Studies, operations: Operations) -> FastAPI:
    """Build the application around its parts."""
    app = FastAPI(
        title="firstread",
        summary="Receives studies, scores them and orders the worklist. For prioritisation only.",
        version=metadata.version("firstread"),
        responses=RESPONSES,
        docs_url=None,  # its page takes scripts from elsewhere
        redoc_url=None,
        openapi_url="/api/v1/openapi.json",
    )
    answer_with_problems(app)
    app.add_middleware(Protection)
    app.include_router(intake_endpoints.build_router(intake))
    app.include_router(worklist_endpoints.build_router(worklist))
    app.include_router(studies_endpoints.build_router(studies))
    app.include_router(operations_endpoints.build_router(operations))
    app.include_router(
        web_endpoints.build_router(intake=intake, worklist=worklist, studies=studies, operations=operations)
    )
    return app
