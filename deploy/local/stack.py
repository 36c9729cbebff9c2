"""The stack that services and tests run on: Kafka with access rules, Postgres with roles, a mail server.

`python -m deploy.local.stack FOLDER` starts one, says where it is, and stops it on Ctrl-C.
"""

import argparse
import asyncio
import json
import os
import secrets
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from deploy.access.apply import add_providers, apply_access
from deploy.access.broker import Broker
from deploy.access.login import Login
from deploy.access.model import check_provider_id, kafka_users, roles
from deploy.access.postgres import apply_roles
from deploy.local.handles import KafkaHandle, PostgresHandle
from deploy.local.mail import LocalMail
from deploy.local.paths import data_root
from deploy.local.sources import Servers, servers


@dataclass(frozen=True)
class ProviderCertificate:
    """With which a provider logs in at `providers_bootstrap`; both PEM."""

    certificate_file: Path
    key_file: Path


@dataclass(frozen=True)
class Stack:
    """A running stack. Passwords are random and kept in the folder, so that the same folder works again.

    `passwords` goes by principal (without the prefix) for Kafka, `role_passwords` by role for Postgres,
    `secrets` by service or process (hex, 32 bytes). `source` is `environment`, `containers` or `local`.
    """

    kafka: KafkaHandle
    postgres: PostgresHandle
    mail: LocalMail
    folder: Path
    source: str
    prefix: str
    passwords: Mapping[str, str] = field(repr=False)
    role_passwords: Mapping[str, str] = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)

    @property
    def bootstrap_servers(self) -> str:
        """`host:port` of Kafka, for everyone with a password."""
        return self.kafka.bootstrap_servers

    @property
    def services_bootstrap(self) -> str:
        """`host:port` of Kafka, for the services."""
        return self.kafka.services_bootstrap

    @property
    def providers_bootstrap(self) -> str:
        """`host:port` of Kafka, for providers that log in by certificate. Raises StackError where it is not known."""
        return self.kafka.providers_bootstrap

    @property
    def ca_file(self) -> Path:
        """The authority of Kafka's certificate, PEM."""
        return self.kafka.ca_file

    @property
    def admin(self) -> Login:
        """Kafka's super user."""
        return self.kafka.admin

    @property
    def admin_dsn(self) -> str:
        """Postgres's super user, with the services' database."""
        return self.postgres.admin_dsn

    @property
    def smtp_host(self) -> str:
        """The mail server's address."""
        return self.mail.host

    @property
    def smtp_port(self) -> int:
        """The mail server's port."""
        return self.mail.port

    @property
    def mail_folder(self) -> Path:
        """Where the mails are, one .eml file each."""
        return self.mail.folder

    def login(self, principal: str) -> Login:
        """Return the Kafka login of a principal of principals.yaml. Raises KeyError for another name."""
        return Login(self.prefix + principal, self.passwords[principal])

    def dsn(self, role: str) -> str:
        """Return the address of the services' database for a role. Raises KeyError for an unknown one."""
        scheme, _, rest = self.admin_dsn.partition("://")
        return f"{scheme}://{role}:{self.role_passwords[role]}@{rest.rpartition('@')[2]}"

    @property
    def broker(self) -> Broker:
        """Kafka, for the commands of the one who runs it."""
        return Broker(self.bootstrap_servers, self.admin, self.ca_file, self.prefix)

    def add_provider(self, pid: str) -> Login:
        """Give one provider its topics, user, rules and quotas; return its login with a new password."""
        return self.add_providers([pid])[0]

    def add_providers(self, pids: list[str], *, quotas: bool = True) -> tuple[Login, ...]:
        """Do what `add_provider` does for many at once; without `quotas` they may send as fast as they can."""
        new = {check_provider_id(pid): secrets.token_hex(16) for pid in pids}
        return add_providers(self.broker, new, quotas=quotas)

    def issue_certificate(self, pid: str) -> ProviderCertificate:
        """Make a new certificate for one provider, whose topics and rules `add_provider` makes.

        Raises ValueError for an id that is not allowed, StackError where certificates are not signed from here.
        """
        pair = self.kafka.providers_authority.issue_for_provider(pid, self.prefix)
        folder = self.folder / "certificates" / pid
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = ProviderCertificate(folder / "certificate.pem", folder / "key.pem")
        pair.write(made.certificate_file, made.key_file)
        return made


@contextmanager
def start_stack(folder: Path | None = None, environment: Mapping[str, str] = os.environ) -> Iterator[Stack]:
    """Start a stack in a folder (default: `stack` in the data root); stop all of it at the end.

    A folder used before keeps its data, addresses and passwords. Raises StackError with one sentence when the
    stack cannot be had.
    """
    place = (folder or data_root() / "stack").resolve()
    place.mkdir(parents=True, exist_ok=True)
    mail = LocalMail(place / "mail")
    with ExitStack() as running:
        running.callback(mail.stop)
        mail.begin()
        found = running.enter_context(servers(place, environment))
        stack = _stack(found, mail, place, environment.get("LINEPOOL_STACK_PREFIX", ""))
        _apply(stack)
        mail.wait_ready()
        yield stack


def _stack(found: Servers, mail: LocalMail, folder: Path, prefix: str) -> Stack:
    remembered = folder / "passwords.json"
    known = json.loads(remembered.read_text()) if remembered.exists() else {}
    chosen: dict[str, dict[str, str]] = {
        "passwords": {user.name: secrets.token_hex(16) for user in kafka_users()},
        "role_passwords": {str(one.role): secrets.token_hex(16) for one in roles()},
        "secrets": {one.name: secrets.token_hex(32) for one in roles()},
    }
    for kind, values in chosen.items():
        values.update(known.get(kind, {}))
    remembered.touch(mode=0o600)
    remembered.write_text(json.dumps(chosen))
    return Stack(
        kafka=found.kafka,
        postgres=found.postgres,
        mail=mail,
        folder=folder,
        source=found.source,
        prefix=prefix,
        **chosen,
    )


def _apply(stack: Stack) -> None:
    # A thread of their own: the caller may have an event loop running.
    with ThreadPoolExecutor(max_workers=2) as both:
        roles = both.submit(lambda: asyncio.run(apply_roles(stack.admin_dsn, stack.role_passwords)))
        apply_access(stack.broker, stack.passwords)
        roles.result()


def main() -> None:
    """Start a stack, print its addresses as JSON on one line, and stop it on Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    folder = parser.parse_args().folder
    finished = threading.Event()
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, lambda *_: finished.set())
    with start_stack(folder) as stack:
        addresses = {
            "source": stack.source,
            "kafka": stack.bootstrap_servers,
            "ca_file": str(stack.ca_file),
            "smtp": f"{stack.smtp_host}:{stack.smtp_port}",
            "folder": str(stack.folder),
        }
        print(json.dumps(addresses), flush=True)  # noqa: T201 -- what it prints is its answer
        finished.wait()


if __name__ == "__main__":
    main()
