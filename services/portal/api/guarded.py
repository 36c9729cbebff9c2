"""What holds for every request: a bound on its size, and answers that no cache keeps and no other page reads."""

from typing import Any

MOST_BYTES = 1_048_576
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"x-content-type-options", b"nosniff"),
]
_TOO_LARGE = (
    b'{"type":"about:blank","status":413,"reason":"too_large","detail":"A request has at most 1 MiB."}'
)


class Guarded:
    """Wraps the API."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        received = 0

        async def receive_bounded() -> Any:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > MOST_BYTES:
                raise _TooLargeError
            return message

        try:
            await self.app(scope, receive_bounded, send_guarded)
        except _TooLargeError:
            start = {
                "type": "http.response.start",
                "status": 413,
                "headers": [(b"content-type", b"application/problem+json")],
            }
            await send_guarded(start)
            await send({"type": "http.response.body", "body": _TOO_LARGE})


class _TooLargeError(Exception):
    """More was sent than a request may have."""
