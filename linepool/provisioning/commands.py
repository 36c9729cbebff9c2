"""What the operator does by `linepool provider`."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.markup import escape
from rich.table import Table

from deploy.access.broker import AccessError, Broker
from deploy.access.certificates import Authority
from linepool.provisioning import providers as work
from linepool.provisioning.options import CaFile, Given, Kafka, Prefix, Username, console, one_sentence, say
from linepool.provisioning.place import find_broker, find_keys, find_operator, who_operates
from linepool.provisioning.register import Register, open_register

T = TypeVar("T")
Name = Annotated[str, typer.Argument(help="The provider's legal name, or its id.")]
Reason = Annotated[str, typer.Option(help="Why; it is kept with the register.")]
Output = Annotated[
    Path | None,
    typer.Option(
        help="Where the bundle goes: a folder, or a file that ends in .zip (default: bundles/<name>)."
    ),
]
ProviderKafka = Annotated[
    str | None,
    typer.Option(
        "--provider-kafka",
        envvar="LINEPOOL_PROVIDER_BOOTSTRAP_SERVERS",
        help="The address that providers use, where it is another one.",
    ),
]
KeysFile = Annotated[
    Path | None, typer.Option("--keys", help="What `linepool keys` printed (default: from the secrets).")
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(help="The provider's password, in a file of its own (default: a new random one)."),
]
Rotate = Annotated[bool, typer.Option("--rotate", help="Set a new password.")]
Certificate = Annotated[
    bool, typer.Option("--certificate", help="It logs in by a certificate: there is no user with a password.")
]
AuthorityFile = Annotated[
    Path | None, typer.Option("--authority", help="The certificate of the authority for providers, PEM.")
]
AuthorityKey = Annotated[Path | None, typer.Option("--authority-key", help="That authority's key, PEM.")]


def add(
    name: Name,
    *,
    category: Annotated[
        list[str] | None, typer.Option(help="What it offers, for example voice; again for more.")
    ] = None,
    region: Annotated[
        list[str] | None, typer.Option(help="Where, for example north; again for more.")
    ] = None,
    output: Output = None,
    password_file: PasswordFile = None,
    rotate: Rotate = False,
    certificate: Certificate = False,
    authority: AuthorityFile = None,
    authority_key: AuthorityKey = None,
    keys_file: KeysFile = None,
    provider_kafka: ProviderKafka = None,
    kafka: Kafka = None,
    username: Username = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """Make a provider known, let it in, and write its bundle; again: repair what is missing, and keep id and password."""

    async def at(broker: Broker, register: Register) -> work.Done:
        return await work.add_provider(
            broker,
            register,
            name,
            categories=category or (),
            regions=region or (),
            login=_login(password_file, rotate, certificate, authority, authority_key),
            addressed=work.Addressed(
                provider_kafka or broker.bootstrap_servers, find_keys(keys_file, broker), output
            ),
        )

    _tell(_at_register(Given(kafka, username, ca_file, prefix), at), f"{name} is admitted")


def list_providers(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    kafka: Kafka = None,
    username: Username = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """List every provider: its id, how it stands at rfp and at the broker, and what does not fit."""
    lines = _at_register(Given(kafka, username, ca_file, prefix), work.list_providers)
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


def suspend(
    name: Name,
    *,
    reason: Reason,
    kafka: Kafka = None,
    username: Username = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """Present nothing more to a provider, and cut it off at the broker, on open connections too."""
    done = _at_register(
        Given(kafka, username, ca_file, prefix),
        lambda broker, register: work.suspend_provider(broker, register, name, reason),
    )
    _tell(done, f"{name} is suspended")


def reinstate(
    name: Name,
    *,
    output: Output = None,
    password_file: PasswordFile = None,
    rotate: Rotate = False,
    certificate: Certificate = False,
    authority: AuthorityFile = None,
    authority_key: AuthorityKey = None,
    keys_file: KeysFile = None,
    provider_kafka: ProviderKafka = None,
    kafka: Kafka = None,
    username: Username = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """Let a suspended provider in again, with the password of its bundle or a new one."""

    async def at(broker: Broker, register: Register) -> work.Done:
        addressed = work.Addressed(
            provider_kafka or broker.bootstrap_servers, find_keys(keys_file, broker), output
        )
        login = _login(password_file, rotate, certificate, authority, authority_key)
        return await work.reinstate_provider(broker, register, name, login, addressed)

    _tell(_at_register(Given(kafka, username, ca_file, prefix), at), f"{name} is reinstated")


def remove(
    name: Name,
    *,
    reason: Reason,
    keep_topics: Annotated[
        bool,
        typer.Option("--keep-topics", help="Keep what it said and was told; deleted, it is gone at once."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    kafka: Kafka = None,
    username: Username = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """Strike a provider off; refused while a purchase with it is open."""
    if not yes and not keep_topics:
        typer.confirm(f"All messages of and to {name} at the broker will be deleted. Remove it?", abort=True)
    done = _at_register(
        Given(kafka, username, ca_file, prefix),
        lambda broker, register: work.remove_provider(
            broker, register, name, reason, keep_topics=keep_topics
        ),
    )
    _tell(done, f"{name} is removed")


def _at_register(given: Given, task: Callable[[Broker, Register], Awaitable[T]]) -> T:
    async def at() -> T:
        broker = find_broker(given.asked)
        async with open_register(find_operator(broker), who_operates()) as register:
            return await task(broker, register)

    with one_sentence():
        return asyncio.run(at())
    raise AssertionError


def _login(
    password_file: Path | None, rotate: bool, certificate: bool, authority: Path | None, key: Path | None
) -> work.Login:
    if not certificate:
        password = password_file.read_text().strip() if password_file else None
        return work.Login(password, rotate=rotate)
    if authority is None or key is None:
        raise AccessError(
            "--certificate needs --authority and --authority-key, who signs providers' certificates"
        )
    try:
        return work.Login(authority=Authority.read(authority, key))
    except ValueError as error:
        raise AccessError(f"{authority} and {key} are no authority: {error}") from None


def _tell(done: work.Done, headline: str) -> None:
    console.print(f"{escape(headline)}: its id is {done.provider_id}.")
    say(done.changed, "Nothing had to be changed at the broker.")
    if done.bundle:
        console.print(f"Its bundle is {escape(str(done.bundle))}; it holds its login: send it on a safe way.")
