"""How a refusal looks: RFC 9457, `application/problem+json`, with a fixed word that programs may compare."""

from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

INVALID = 422
_TOLD = {401, 403, 429}
_UNKNOWN = "_unknown"
"""How the reasons end for which something exists and does not belong to whoever asks, or may not exist at all."""


class Problem(Exception):  # noqa: N818 # RFC 9457's word
    """An answer that is a refusal."""

    def __init__(
        self, status: int, reason: str, detail: str, *, headers: dict[str, str] | None = None, **more: Any
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.headers = headers
        self.body = {"type": "about:blank", "status": status, "reason": reason, "detail": detail, **more}


def invalid(error: ValidationError | RequestValidationError) -> Problem:
    """Return the answer to a body that is not what it must be: where and why, never what was sent."""
    faults = [
        {"at": ".".join(str(step) for step in fault["loc"]), "why": fault["msg"]} for fault in error.errors()
    ]
    return Problem(INVALID, "invalid", "The request is not what it must be.", errors=faults)


def _write_down(request: Request, problem: Problem) -> None:
    """Log who was refused what, by ids and fixed words alone: an address or a body is nobody's to read there."""
    reason = problem.body["reason"]
    if problem.status in _TOLD or reason.endswith(_UNKNOWN):
        structlog.get_logger().info(
            "refused",
            reason=reason,
            method=request.method,
            way=getattr(request.scope.get("route"), "path", None),
            purchase=request.path_params.get("purchase_id"),
            person=getattr(request.state, "person_id", None),
            client=getattr(request.state, "client", None),
        )


def answer_with_problems(api: FastAPI) -> None:
    """Let every refusal of this API look the same."""

    def answer(problem: Problem) -> JSONResponse:
        return JSONResponse(problem.body, problem.status, problem.headers, "application/problem+json")

    @api.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> JSONResponse:
        _write_down(request, problem)
        return answer(problem)

    @api.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return answer(invalid(error))

    @api.exception_handler(Exception)
    async def _fault(_request: Request, error: Exception) -> JSONResponse:
        structlog.get_logger().error("a request failed", error=type(error).__name__)
        return answer(Problem(500, "fault", "Something failed here, and was written down. Try again later."))

    @api.exception_handler(HTTPException)
    async def _http(_request: Request, error: HTTPException) -> JSONResponse:
        return answer(Problem(error.status_code, "not_possible", str(error.detail)))
