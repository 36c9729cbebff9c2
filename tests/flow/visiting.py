"""Somebody at the portal, with a mailbox."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from linepool.checker.history import Mail
from tests.flow.system import Parts, System


@dataclass
class Visitor:
    """Somebody at the portal, with a mailbox."""

    system: System
    parts: Parts
    client: httpx.AsyncClient

    async def mailed(self, to: str, pattern: str, *, but: str | None = None) -> str:
        """Wait for a mail to an address, and return what the pattern finds in it."""
        found: list[str] = []

        async def there() -> bool:
            for text in self.texts(to):
                found[:] = [one for one in re.findall(pattern, text, re.MULTILINE) if one != but]
                if found:
                    return True
            return False

        await self.system.work_until(there, within=60, what=f"a mail to {to}")
        return found[0]

    def texts(self, to: str) -> list[str]:
        files = sorted(self.parts.mail.folder.glob("*.eml"))
        mails = [Mail(file.name, file.read_bytes()) for file in files]
        return [mail.text.replace("\r\n", "\n") for mail in mails if to in mail.addresses]

    async def ask(self, how: str, path: str, body: dict[str, Any] | None = None, *, status: int) -> Any:
        """Ask the portal, once all that was said has been read."""
        await self.system.rest()
        answer = await self.client.request(how, f"/v1{path}", json=body)
        assert answer.status_code == status, answer.text
        await self.system.rest()
        return answer.json() if answer.content else None

    async def sign_in(self, email: str, password: str, *, new_password: str | None = None) -> None:
        """Sign in, and stay so."""
        self.client.headers.pop("Authorization", None)
        body = {"email": email, "password": password}
        signed = await self.ask(
            "POST", "/sessions", {**body, "new_password": new_password} if new_password else body, status=201
        )
        self.client.headers["Authorization"] = f"Bearer {signed['token']}"


@asynccontextmanager
async def visiting(system: System, parts: Parts) -> AsyncIterator[Visitor]:
    api = system.services["portal"].service.ways_in["/v1/"]
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=api), base_url="https://portal.invalid"
    ) as client:
        yield Visitor(system, parts, client)
