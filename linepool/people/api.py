"""The portal's API, asked as whoever signed in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from ssl import SSLContext
from typing import Any
from uuid import uuid4

import httpx

_PATIENCE_S = 40.0


class ApiError(Exception):
    """The portal refused, or could not be reached.

    `reason` is its fixed word, such as `usage_missing`; `faults` say what in a body is wrong: (where, why).
    """

    def __init__(
        self, reason: str, detail: str, *, status: int = 0, faults: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail
        self.status = status
        self.faults = faults


@dataclass(frozen=True)
class Api:
    """One portal, and who asks it."""

    portal: str
    token: str | None = field(default=None, repr=False)

    def get(self, path: str) -> Any:
        """Return what the portal shows. Raises ApiError."""
        return self._ask("GET", path)

    def download(self, path: str) -> bytes:
        """Return a document. Raises ApiError."""
        return self._answer("GET", path).content

    def post(self, path: str, body: dict[str, Any] | None = None, *, wait: bool = True) -> Any:
        """Order something, once, however often the network makes us ask; return what came of it. Raises ApiError."""
        headers = {"Idempotency-Key": str(uuid4())} | ({} if wait else {"Prefer": "respond-async"})
        return self._ask("POST", path, body or {}, headers)

    def put(self, path: str, body: dict[str, Any]) -> Any:
        """Change something. Raises ApiError."""
        return self._ask("PUT", path, body)

    def delete(self, path: str) -> None:
        """End something. Raises ApiError."""
        self._ask("DELETE", path)

    def follow(self, path: str) -> Iterator[dict[str, Any]]:
        """Yield server-sent events until the portal ends the stream. Raises ApiError."""
        headers = {**self._headers(), "Accept": "text/event-stream"}
        try:
            with httpx.stream(
                "GET",
                self._url(path),
                headers=headers,
                timeout=httpx.Timeout(_PATIENCE_S, read=60),
                verify=_trusted(),
            ) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _error(answer)
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line.removeprefix("data: "))
        except httpx.HTTPError as error:
            raise _unreachable(self.portal, error) from None

    def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Any:
        answer = self._answer(method, path, body, headers)
        return answer.json() if answer.content else None

    def _answer(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        try:
            answer = httpx.request(
                method,
                self._url(path),
                json=body,
                headers={**self._headers(), **(headers or {})},
                timeout=_PATIENCE_S,
                verify=_trusted(),
            )
        except httpx.HTTPError as error:
            raise _unreachable(self.portal, error) from None
        if not answer.is_success:
            raise _error(answer)
        return answer

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}

    def _url(self, path: str) -> str:
        return f"{self.portal.rstrip('/')}/v1{path}"


@cache
def _trusted() -> SSLContext:
    """Reading all authorities takes longer than most answers do, so it is done once."""
    return httpx.create_ssl_context()


def _unreachable(portal: str, error: httpx.HTTPError) -> ApiError:
    return ApiError("portal_unreachable", f"{portal} does not answer ({type(error).__name__}).")


def _error(answer: httpx.Response) -> ApiError:
    try:
        problem = answer.json()
        faults = tuple((str(one["at"]), str(one["why"])) for one in problem.get("errors", ()))
        return ApiError(problem["reason"], problem["detail"], status=answer.status_code, faults=faults)
    except (ValueError, KeyError, TypeError):
        return ApiError("not_a_portal", f"{answer.url} is no portal of Linepool.", status=answer.status_code)
