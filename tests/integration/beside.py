"""Another installation beside a stack's own, on the same servers: a prefix, a database and mails of its own."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from deploy.access.model import kafka_users
from deploy.access.postgres import apply_roles
from deploy.local.mail import LocalMail
from deploy.local.sources import ForeignPostgres
from deploy.local.stack import Stack


@asynccontextmanager
async def another_installation(stack: Stack, prefix: str, folder: Path) -> AsyncIterator[Stack]:
    """Yield the place of an installation for which nothing has been made at Kafka; its passwords there are chosen.

    The database is dropped in the end. What others make at Kafka stays: its names are nobody else's.
    """
    database = prefix.removesuffix(".")
    admin = await asyncpg.connect(stack.admin_dsn)
    mail = LocalMail(folder / "mail")
    try:
        await admin.execute(f'CREATE DATABASE "{database}"')
        dsn = urlunsplit(urlsplit(stack.admin_dsn)._replace(path=f"/{database}"))
        await apply_roles(dsn, stack.role_passwords)
        await asyncio.to_thread(mail.start)
        yield replace(
            stack,
            postgres=ForeignPostgres(dsn),
            mail=mail,
            folder=folder,
            prefix=prefix,
            passwords={one.name: secrets.token_hex(16) for one in kafka_users()},
        )
    finally:
        await asyncio.to_thread(mail.stop)
        await admin.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')
        await admin.close()
