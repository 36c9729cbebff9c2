"""What the operator does by `linepool provider`."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from deploy.access.broker import AccessError, Broker
from deploy.access.certificates import Authority
from linepool.provisioning import providers as work
from linepool.provisioning.letting_in import Addressed, Login
from linepool.provisioning.options import Given, console, in_groups, one_sentence, say
from linepool.provisioning.place import find_keys, find_operator, who_operates
from linepool.provisioning.register import Register, open_register

T = TypeVar("T")
Name = Annotated[str, typer.Argument(help="The provider's legal name, or its id.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the register.")]


@dataclass(frozen=True)
class Admission:
    """How a provider is let in: its login, and its bundle."""

    output: Annotated[
        Path | None,
        typer.Option(
            help="Where the bundle goes: a folder, or a file that ends in .zip (default: bundles/<name>)."
        ),
    ] = None
    password_file: Annotated[
        Path | None,
        typer.Option(help="The provider's password, in a file of its own (default: a new random one)."),
    ] = None
    rotate: Annotated[bool, typer.Option("--rotate", help="Set a new password.")] = False
    certificate: Annotated[
        bool,
        typer.Option("--certificate", help="It logs in by a certificate: there is no user with a password."),
    ] = False
    authority: Annotated[
        Path | None, typer.Option(help="The certificate of the authority for providers, PEM.")
    ] = None
    authority_key: Annotated[Path | None, typer.Option(help="That authority's key, PEM.")] = None
    keys_file: Annotated[
        Path | None,
        typer.Option("--keys", help="What `linepool keys` printed (default: from the secrets)."),
    ] = None
    provider_kafka: Annotated[
        str | None,
        typer.Option(
            envvar="LINEPOOL_PROVIDER_BOOTSTRAP_SERVERS",
            help="The address that providers use, where it is another one.",
        ),
    ] = None

    def login(self) -> Login:
        """Return how the provider is to log in. Raises AccessError for what is no password and no authority."""
        if not self.certificate:
            password = self.password_file.read_text().strip() if self.password_file else None
            return Login(password, rotate=self.rotate)
        if self.authority is None or self.authority_key is None:
            raise AccessError(
                "--certificate needs --authority and --authority-key, who signs providers' certificates"
            )
        try:
            return Login(authority=Authority.read(self.authority, self.authority_key))
        except ValueError as error:
            raise AccessError(
                f"{self.authority} and {self.authority_key} are no authority: {error}"
            ) from None

    def addressed(self, broker: Broker) -> Addressed:
        """Return what the bundle says beside the provider itself."""
        servers = self.provider_kafka or broker.bootstrap_servers
        return Addressed(servers, find_keys(self.keys_file, broker), self.output)


@in_groups
def add(
    name: Name,
    *,
    category: Annotated[
        list[str] | None, typer.Option(help="What it offers, for example voice; again for more.")
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="Where, for example north; again for more.")
    ] = None,
    administered_elsewhere: Annotated[
        bool,
        typer.Option(
            "--administered-elsewhere",
            help="Somebody else administers that Kafka: register the provider once its own login is let in there.",
        ),
    ] = False,
    admission: Admission,
    given: Given,
) -> None:
    """Make a provider known, let it in, and write its bundle; again: repair what is missing, and keep id and password."""

    async def at(broker: Broker, register: Register) -> work.Done:
        return await work.add_provider(
            broker,
            register,
            name,
            categories=category or (),
            regions=region or (),
            login=admission.login(),
            addressed=admission.addressed(broker),
            administered_elsewhere=administered_elsewhere,
        )

    _tell(_at_register(given, at), f"{name} is admitted")


@in_groups
def list_providers(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    given: Given,
) -> None:
    """List every provider: its id, how it stands at rfp and at the broker, and what does not fit."""
    lines = _at_register(given, work.list_providers)
    if as_json:
        sys.stdout.write(json.dumps([vars(line) for line in lines], indent=2) + "\n")
        return
    table = Table("name", "id", "at rfp", "at the broker", "login", box=None)
    for line in lines:
        table.add_row(escape(line.name), line.provider_id, line.state or "unknown", line.standing, line.login)
    console.print(table if lines else "No provider is known.")
    for line in lines:
        for difference in line.differences:
            console.print(f"{line.provider_id}: {escape(difference)}")


@in_groups
def suspend(
    name: Name,
    *,
    reason: Reason,
    given: Given,
) -> None:
    """Present nothing more to a provider, and cut it off at the broker, on open connections too."""
    done = _at_register(
        given,
        lambda broker, register: work.suspend_provider(broker, register, name, reason),
    )
    _tell(done, f"{name} is suspended")


@in_groups
def reinstate(
    name: Name,
    *,
    admission: Admission,
    given: Given,
) -> None:
    """Let a suspended provider in again, with the password of its bundle or a new one."""

    async def at(broker: Broker, register: Register) -> work.Done:
        return await work.reinstate_provider(
            broker, register, name, admission.login(), admission.addressed(broker)
        )

    _tell(_at_register(given, at), f"{name} is reinstated")


@in_groups
def remove(
    name: Name,
    *,
    reason: Reason,
    keep_topics: Annotated[
        bool,
        typer.Option("--keep-topics", help="Keep what it said and was told; deleted, it is gone at once."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    given: Given,
) -> None:
    """Strike a provider off; refused while a purchase with it is open."""
    if not yes and not keep_topics:
        typer.confirm(f"All messages of and to {name} at the broker will be deleted. Remove it?", abort=True)
    done = _at_register(
        given,
        lambda broker, register: work.remove_provider(
            broker, register, name, reason, keep_topics=keep_topics
        ),
    )
    _tell(done, f"{name} is removed")


def _at_register(given: Given, task: Callable[[Broker, Register], Awaitable[T]]) -> T:
    async def at() -> T:
        broker = given.broker()
        async with open_register(find_operator(broker), who_operates()) as register:
            return await task(broker, register)

    with one_sentence():
        return asyncio.run(at())
    raise AssertionError


def _tell(done: work.Done, headline: str) -> None:
    console.print(f"{escape(headline)}: its id is {done.provider_id}.")
    say(done.changed, "Nothing had to be changed at the broker.")
    if done.bundle:
        console.print(f"Its bundle is {escape(str(done.bundle))}; it holds its login: send it on a safe way.")
