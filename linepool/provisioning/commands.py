"""`linepool access`, `linepool keys`, and what the operator does by `linepool provider`."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import typer
from aiokafka.errors import KafkaError
from confluent_kafka import KafkaException
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.access.apply import difference_of, settle
from deploy.access.broker import AccessError, Broker
from deploy.access.model import check_prefix
from deploy.access.render import everything, render
from linepool.demo.state import NothingRunsError
from linepool.provisioning import providers as work
from linepool.provisioning.bundle import new_password
from linepool.provisioning.place import Asked, find_broker, find_keys, find_operator, who_operates
from linepool.provisioning.register import Register, open_register

T = TypeVar("T")
access = typer.Typer(help="Topics, users, rules and quotas at the broker.", no_args_is_help=True)
console = Console(highlight=False, soft_wrap=True)

Kafka = Annotated[
    str | None,
    typer.Option(
        "--kafka",
        envvar="LINEPOOL_KAFKA_BOOTSTRAP_SERVERS",
        help="host:port (default: what `linepool up` runs). The password comes from LINEPOOL_KAFKA_PASSWORD.",
    ),
]
Username = Annotated[
    str | None,
    typer.Option(envvar="LINEPOOL_KAFKA_USERNAME", help="One who may administer that Kafka."),
]
CaFile = Annotated[
    Path | None,
    typer.Option(envvar="LINEPOOL_KAFKA_CA_FILE", help="The authority of its certificate, PEM."),
]
Prefix = Annotated[
    str | None,
    typer.Option(envvar="LINEPOOL_TOPIC_PREFIX", help="What stands before all our names; ends in a dot."),
]
Trusted = Annotated[
    list[str] | None,
    typer.Option(
        "--trusted", help="Somebody else whose rules about our topics are in order, such as User:backup."
    ),
]
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


@access.command()
def apply(
    *,
    kafka: Kafka = None,
    username: Username = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
    passwords: Annotated[
        Path | None,
        typer.Option(
            help="JSON: passwords by user. Those of users that are made and not in it are chosen and added to it."
        ),
    ] = None,
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Set the passwords of the file for all its users.")
    ] = False,
) -> None:
    """Bring the broker to what deploy/access/ says, and print what was changed."""
    with one_sentence():
        broker = _broker(kafka, username, ca_file, prefix)
        difference = difference_of(broker)
        known = _passwords(passwords)
        new = {user: new_password() for user in difference.users_missing if user not in known}
        if new and passwords is None:
            raise AccessError(f"{len(new)} users are missing: --passwords names the file for their passwords")
        if new and passwords is not None:
            known |= new
            _keep_passwords(passwords, known)
        wanted = known.keys() if rotate else set(difference.users_missing)
        settle(broker, difference, {user: known[user] for user in known if user in wanted})
        _say(difference.repairs(), "Nothing had to be changed.")
        for left in difference.left_alone():
            console.print(f"left alone: {escape(left)}")


@access.command()
def diff(
    *,
    kafka: Kafka = None,
    username: Username = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
    trusted: Trusted = None,
) -> None:
    """Print what differs between the broker and deploy/access/; the exit code is 1 if anything does."""
    with one_sentence():
        found = list(difference_of(_broker(kafka, username, ca_file, prefix), trusted or ()).sentences())
        _say(found, "The broker is what it should be.")
    raise typer.Exit(1 if found else 0)


@access.command()
def check(
    *,
    kafka: Kafka = None,
    username: Username = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
    trusted: Trusted = None,
) -> None:
    """Say in one line whether the broker is what it should be; the exit code is 1 if it is not."""
    with one_sentence():
        found = list(difference_of(_broker(kafka, username, ca_file, prefix), trusted or ()).sentences())
        more = f"; the first: {found[0]}" if found else ""
        console.print(
            f"access: {len(found)} differences{escape(more)}" if found else "access: as it should be"
        )
    raise typer.Exit(1 if found else 0)


@access.command(name="render")
def render_access(
    *,
    form: Annotated[
        Literal["shell", "json"], typer.Option("--format", help="A script of Kafka's own commands, or data.")
    ] = "shell",
    prefix: Prefix = None,
    provider_ids: Annotated[
        list[str] | None, typer.Option("--provider", help="A provider's id; again for more.")
    ] = None,
) -> None:
    """Print what there must be at the broker, for one who administers it. No Kafka is asked."""
    with one_sentence():
        try:
            wanted = everything(check_prefix(prefix or ""), provider_ids or ())
        except ValueError as error:
            raise AccessError(str(error)) from None
        sys.stdout.write(render(wanted, form))


def keys() -> None:
    """Print the keys with which providers check receipts and seal keys, as JSON."""
    with one_sentence():
        sys.stdout.write(json.dumps(find_keys(None).as_json(), indent=2) + "\n")


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
            login=_login(password_file, rotate, certificate),
            addressed=work.Addressed(
                provider_kafka or broker.bootstrap_servers, find_keys(keys_file, broker), output
            ),
        )

    _tell(_at_register(_Given(kafka, username, ca_file, prefix), at), f"{name} is admitted")


def list_providers(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    kafka: Kafka = None,
    username: Username = None,
    ca_file: CaFile = None,
    prefix: Prefix = None,
) -> None:
    """List every provider: its id, how it stands at rfp and at the broker, and what does not fit."""
    lines = _at_register(_Given(kafka, username, ca_file, prefix), work.list_providers)
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
        _Given(kafka, username, ca_file, prefix),
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
        login = _login(password_file, rotate, certificate)
        return await work.reinstate_provider(broker, register, name, login, addressed)

    _tell(_at_register(_Given(kafka, username, ca_file, prefix), at), f"{name} is reinstated")


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
        _Given(kafka, username, ca_file, prefix),
        lambda broker, register: work.remove_provider(
            broker, register, name, reason, keep_topics=keep_topics
        ),
    )
    _tell(done, f"{name} is removed")


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say in one sentence what went wrong, and exit with 1."""
    try:
        yield
    except KafkaException as error:
        reason = error.args[0]
        _fail(f"Kafka refuses: {reason.str() if hasattr(reason, 'str') else reason}")
    except (AccessError, NothingRunsError, KafkaError, OSError, TimeoutError) as error:
        _fail(str(error) or type(error).__name__)


def _fail(text: str) -> None:
    sys.stderr.write(f"linepool: {' '.join(text.split())}\n")
    raise typer.Exit(1)


class _Given:
    """Where the Kafka is, as it was given on the command line."""

    def __init__(
        self, kafka: str | None, username: str | None, ca_file: Path | None, prefix: str | None
    ) -> None:
        self.asked = Asked(kafka, username, os.environ.get("LINEPOOL_KAFKA_PASSWORD"), ca_file, prefix)


def _broker(kafka: str | None, username: str | None, ca_file: Path | None, prefix: str | None) -> Broker:
    return find_broker(_Given(kafka, username, ca_file, prefix).asked)


def _at_register(given: _Given, task: Callable[[Broker, Register], Awaitable[T]]) -> T:
    async def at() -> T:
        broker = find_broker(given.asked)
        async with open_register(find_operator(broker), who_operates()) as register:
            return await task(broker, register)

    with one_sentence():
        return asyncio.run(at())
    raise AssertionError


def _login(password_file: Path | None, rotate: bool, certificate: bool) -> work.Login:
    password = password_file.read_text().strip() if password_file else None
    return work.Login(password, rotate=rotate, certificate=certificate)


def _passwords(file: Path | None) -> dict[str, str]:
    if file is None or not file.exists():
        return {}
    if stat.S_IMODE(file.stat().st_mode) & 0o077:
        raise AccessError(f"{file} holds passwords and others may read it: chmod 600")
    try:
        found = json.loads(file.read_text())
    except ValueError:
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise AccessError(f"{file} is not a JSON object of passwords by user")
    return found


def _keep_passwords(file: Path, passwords: dict[str, str]) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        json.dump(passwords, opened, indent=2)


def _tell(done: work.Done, headline: str) -> None:
    console.print(f"{escape(headline)}: its id is {done.provider_id}.")
    _say(done.changed, "Nothing had to be changed at the broker.")
    if done.bundle:
        console.print(f"Its bundle is {escape(str(done.bundle))}; it holds its login: send it on a safe way.")


def _say(found: Iterable[str], otherwise: str) -> None:
    lines = list(found)
    for line in lines:
        console.print(escape(line))
    if not lines:
        console.print(otherwise)
