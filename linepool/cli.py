"""The command `linepool`."""

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

import asyncpg
import typer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape

from deploy.local.handles import StackError
from linepool import operating, replaying
from linepool.audit.lost import find_lost
from linepool.audit.verify import connection_of, verify
from linepool.checker.collect import NothingVisibleError, Place, collect
from linepool.checker.judge import check
from linepool.client.connection import Connection
from linepool.custodian import commands as custodian
from linepool.demo import looking, run, state, up
from linepool.demo.own_usage import UsageFileError
from linepool.demo.scenario import DEFAULT_PROVIDERS, Asked, Scenario, ScenarioError, scenario
from linepool.demo.telling import ClaimError, Teller, story_console
from linepool.members.commands import group
from linepool.officer import commands as officer
from linepool.people import choosing, contact, groups, requests, signing_in
from linepool.persons import commands as persons
from linepool.provider import commands as provider_commands
from linepool.provisioning import commands as provisioning
from linepool.provisioning.access import access, keys
from linepool.status.commands import status
from linepool.tables.writing import csv_text
from linepool.usage.commands import usage
from linepool.usage.template import TEMPLATE

app = typer.Typer(
    help="Group purchases of telecom services: pooled usage, a request only to listed providers, replies rated to the cent.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
parked = typer.Typer(help="Messages that a service has put aside.", no_args_is_help=True)
migrations = typer.Typer(help="What was done to the services' schemas.", no_args_is_help=True)
provider = typer.Typer(help="Providers: for the operator, and for a provider itself.", no_args_is_help=True)
app.add_typer(access, name="access")
app.add_typer(custodian.app, name="custodian")
app.add_typer(officer.app, name="officer")
app.add_typer(provider, name="provider")
app.add_typer(parked, name="parked")
app.add_typer(migrations, name="migrations")
app.add_typer(usage, name="usage")
app.add_typer(group, name="group")
app.command("keys")(keys)
app.command("status")(status)
provider.command("add")(provisioning.add)
provider.command("list")(provisioning.list_providers)
provider.command("suspend")(provisioning.suspend)
provider.command("reinstate")(provisioning.reinstate)
provider.command("remove")(provisioning.remove)
provider_commands.add_to(provider)
signing_in.add_to(app)
app.add_typer(contact.app, name="contact")
app.add_typer(persons.app, name="person")
groups.add_to(group)
app.add_typer(requests.app, name="request")
choosing.add_to(app)
audit = typer.Typer(help="Whether the services' logs are as they were written.", no_args_is_help=True)
app.add_typer(audit, name="audit")

console = Console(highlight=False)

Buyers = Annotated[
    int | None,
    typer.Option(min=1, max=1000, help="How many buyers (default: 40, or as the usage file names them)."),
]
Providers = Annotated[int, typer.Option(min=2, max=100, help="How many providers are registered.")]
Usage = Annotated[
    Path | None,
    typer.Option(help="Usage files instead of the public data; see --template and docs/buyers.md."),
]
Months = Annotated[
    int, typer.Option(min=1, max=24, help="How many months the usage file covers where no column says it.")
]
Currency = Annotated[str, typer.Option(help="The usage file's currency, by ISO 4217.")]
TaxBasis = Annotated[Literal["net", "gross"], typer.Option(help="Whether the file's amounts contain tax.")]
Mode = Annotated[
    Literal["transmit", "grant"],
    typer.Option(help="The invitation is the whole request, or offers access to it."),
]
Seconds = Annotated[
    float | None,
    typer.Option(min=3, help="Seconds from the request's issue to its deadline (default: by speed)."),
]
Service = Annotated[str, typer.Argument(help="aggregation, rfp, distribution, bidding or notification.")]
Dsn = Annotated[
    str | None,
    typer.Option(envvar="LINEPOOL_POSTGRES_DSN", help="The service's database (default: of `linepool up`)."),
]


AllSchemas = Annotated[
    str | None,
    typer.Option(
        envvar="LINEPOOL_POSTGRES_DSN",
        help="A database where the schemas may be read (default: what `linepool up` runs).",
    ),
]


@app.command()
def demo(
    *,
    buyers: Buyers = None,
    providers: Providers = DEFAULT_PROVIDERS,
    usage: Usage = None,
    months: Months = 1,
    currency: Currency = "EUR",
    tax_basis: TaxBasis = "net",
    mode: Mode = "grant",
    reply_seconds: Seconds = None,
    output: Annotated[Path, typer.Option(help="Where the page goes.")] = run.OUTPUT,
    example: Annotated[
        bool, typer.Option("--template", help="Write an example of a usage file and stop.")
    ] = False,
) -> None:
    """Run one whole purchase before your eyes; the exit code is 0 only if everything it claims holds."""
    if example:
        sys.stdout.write(csv_text(TEMPLATE))
        return
    with one_sentence():
        made = _scenario(buyers, providers, usage, months, currency, tax_basis, mode)
        held = run.run_demo(made, Teller(story_console()), output=output, time_to_reply=reply_seconds)
    raise typer.Exit(0 if held else 1)


@app.command(name="up")
def start(
    *,
    buyers: Buyers = None,
    providers: Providers = DEFAULT_PROVIDERS,
    usage: Usage = None,
    months: Months = 1,
    currency: Currency = "EUR",
    tax_basis: TaxBasis = "net",
    mode: Mode = "grant",
    reply_seconds: Seconds = None,
    in_foreground: Annotated[bool, typer.Option("--in-foreground", hidden=True)] = False,
) -> None:
    """Run the story until just before the selection, and leave everything running."""
    with one_sentence():
        made = _scenario(buyers, providers, usage, months, currency, tax_basis, mode)
        if in_foreground:
            up.hold(made, Teller(story_console()), time_to_reply=reply_seconds)
            return
        # The background process reads the same arguments as this one.
        if not up.start(sys.argv[2:], console):
            raise typer.Exit(1)
        _say_what_to_type(state.load())


@app.command()
def down() -> None:
    """Stop what `linepool up` started."""
    with one_sentence():
        console.print("Everything is stopped." if up.stop() else "Nothing was running.")


@app.command()
def topics(
    name: Annotated[str | None, typer.Argument(help="One topic; without it all are listed.")] = None,
    *,
    body: Annotated[bool, typer.Option(help="Show the bodies too.")] = False,
    last: Annotated[int, typer.Option(min=1, help="How many messages, from the end.")] = 20,
) -> None:
    """Look at the topics, or at the last messages of one."""
    if name is None:
        _looking(lambda running: looking.show_topics(running, console))
    else:
        _looking(lambda running: looking.show_topic(running, name, console, body=body, last=last))


@app.command()
def tables(
    service: Annotated[str, typer.Argument(help="A service, or the opener.")],
    name: Annotated[str | None, typer.Argument(help="One table; without it all are listed.")] = None,
    *,
    limit: Annotated[int, typer.Option(min=1, help="How many rows.")] = 20,
) -> None:
    """Look at a service's tables, or at the rows of one."""
    if name is None:
        _looking(lambda running: looking.show_tables(running, service, console))
    else:
        _looking(lambda running: looking.show_table(running, service, name, console, limit=limit))


@app.command()
def checker() -> None:
    """Judge from raw records and rows whether everything holds that must always hold, on what `linepool up` runs."""
    with one_sentence():
        running = state.load()
        place = Place(
            bootstrap_servers=running.bootstrap_servers,
            username=running.admin_username,
            password=running.admin_password,
            admin_dsn=running.admin_dsn,
            prefix=running.prefix,
            ca_file=Path(running.ca_file),
        )
        logs = [Path(running.folder) / "services"]
        report = check(asyncio.run(collect(place, mails=Path(running.mail_folder), logs=logs)))
    console.out(str(report))
    raise typer.Exit(0 if report.ok else 1)


@parked.command("list")
def list_parked(service: Service, dsn: Dsn = None) -> None:
    """List what is parked."""
    _at_database(service, dsn, lambda database: operating.list_parked(database, console))


@parked.command("show")
def show_parked(
    service: Service,
    parked_id: Annotated[int, typer.Argument(metavar="ID")],
    *,
    body: Annotated[bool, typer.Option("--body", help="Show the body; it may be confidential.")] = False,
    dsn: Dsn = None,
) -> None:
    """Show one parked message: its headers and its size."""
    _at_database(
        service, dsn, lambda database: operating.show_parked(database, parked_id, console, body=body)
    )


@parked.command("retry")
def retry_parked(
    service: Service,
    parked_id: Annotated[
        int | None, typer.Argument(metavar="[ID]", help="One message; without it all that are stuck.")
    ] = None,
    dsn: Dsn = None,
) -> None:
    """Let the service try a parked message again now, or all that are stuck."""

    async def retry(database: asyncpg.Connection) -> None:
        if parked_id is not None:
            await operating.retry_parked(database, parked_id)
            console.print(f"{service} tries {parked_id} again.")
        else:
            console.print(f"{service} tries {await operating.retry_stuck(database)} stuck messages again.")

    _at_database(service, dsn, retry)


@parked.command("discard")
def discard_parked(
    service: Service,
    parked_id: Annotated[int, typer.Argument(metavar="ID")],
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dsn: Dsn = None,
) -> None:
    """Give a parked message up for ever."""
    if not yes:
        typer.confirm(f"Message {parked_id} of {service} will never take effect. Discard it?", abort=True)
    _at_database(service, dsn, lambda database: operating.discard_parked(database, parked_id))
    console.print(f"{parked_id} is discarded.")


@migrations.command("status")
def migrations_status(
    service: Annotated[
        str | None, typer.Argument(help="One service, or the opener; without it all of them.")
    ] = None,
    dsn: Dsn = None,
) -> None:
    """Show which migrations were applied, by a newer release too; the exit code is 1 if one is pending, changed or unknown."""
    clean = True
    for name in [service] if service else operating.process_names():

        async def show(database: asyncpg.Connection, name: str = name) -> None:
            nonlocal clean
            for one in await operating.migrations_of(database, name):
                console.print(f"{name:<13} {one.state:<8} {escape(one.name)}")
                clean = clean and one.state in {"applied", "newer"}

        _at_database(name, dsn, show, among=operating.process_names())
    raise typer.Exit(0 if clean else 1)


@audit.command("verify")
def verify_logs(
    service: Annotated[str | None, typer.Argument(help="One service; without it all.")] = None,
    *,
    purchase: Annotated[UUID | None, typer.Option(help="Only the logs of this purchase.")] = None,
    dsn: AllSchemas = None,
    as_json: Annotated[bool, typer.Option("--json", help="Say it for programs.")] = False,
) -> None:
    """Find any edit of the logs and the disclosure ledger; the exit code is 1 if there is one.

    With --dsn, the topics are read by the login in LINEPOOL_KAFKA_BOOTSTRAP_SERVERS, _USERNAME, _PASSWORD and _CA_FILE
    (and LINEPOOL_TOPIC_PREFIX); without those the logs are compared with themselves alone.
    """
    names = [service] if service else operating.service_names()
    with one_sentence():
        if dsn is None:
            running = state.load()
            dsns = {name: running.dsns.get(name, "") for name in names}
            kafka: Connection | None = running.admin
        else:
            dsns, kafka = dict.fromkeys(names, dsn), connection_of(os.environ)
        report = asyncio.run(verify(dsns, kafka, purchase_id=purchase))
    sys.stdout.write(f"{report.to_json() if as_json else report}\n")
    raise typer.Exit(0 if report.ok else 1)


@audit.command("lost")
def lost(dsn: AllSchemas = None) -> None:
    """Find what was said and is on no topic any more although a service has still to read it; the exit code is 1 if there is any.

    So it is after Kafka was restored to an older copy than the database. Logins as for `verify`.
    """
    with one_sentence():
        found = asyncio.run(find_lost(*_database_and_kafka(dsn)))
    for one in found:
        console.print(escape(str(one)))
    console.print(f"{len(found)} facts are lost." if found else "Nothing is lost between the services.")
    raise typer.Exit(1 if found else 0)


@app.command()
def replay(
    services: Annotated[list[str], typer.Argument(metavar="SERVICE...", help="Services that are stopped.")],
    dsn: AllSchemas = None,
) -> None:
    """Let services read all their topics again from the beginning when they start; what they know already changes nothing.

    After Kafka was restored to an older copy, or a topic was deleted and made again. Logins as for `audit verify`.
    """
    with one_sentence():
        address, kafka = _database_and_kafka(dsn)
    for service in services:

        async def forget(database: asyncpg.Connection, service: str = service) -> None:
            partitions = await replaying.forget_positions(database, service, kafka)
            console.print(f"{service} reads {partitions} partitions from their beginning when it starts.")

        _at_database(service, address, forget)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say in one sentence what went wrong, and exit with 1; Ctrl-C exits with 130."""
    try:
        yield
    except UsageFileError as error:
        _fail(str(error))
    except (
        ScenarioError,
        StackError,
        ClaimError,
        NothingVisibleError,
        state.NothingRunsError,
        looking.NotThereError,
        operating.OperatingError,
        OSError,
        KafkaError,
        asyncpg.PostgresError,
    ) as error:
        _fail(str(error) or type(error).__name__)
    except KeyboardInterrupt:
        Console(stderr=True).print("Stopped.")
        raise typer.Exit(130) from None


def _fail(text: str) -> None:
    sys.stderr.write("".join(f"linepool: {line}\n" for line in text.splitlines()))
    raise typer.Exit(1)


def _scenario(  # the command line's options, in its order
    buyers: int | None,
    providers: int,
    usage: Path | None,
    months: int,
    currency: str,
    tax_basis: Literal["net", "gross"],
    mode: Literal["transmit", "grant"],
) -> Scenario:
    return scenario(
        Asked(
            buyers=buyers,
            providers=providers,
            usage=usage,
            months=months,
            currency=currency,
            tax_basis=tax_basis,
            mode=mode,
        )
    )


def _looking(work: Callable[[state.State], Awaitable[None]]) -> None:
    async def at_work() -> None:
        await work(state.load())

    with one_sentence():
        asyncio.run(at_work())


def _at_database(
    service: str,
    dsn: str | None,
    work: Callable[[asyncpg.Connection], Awaitable[None]],
    *,
    among: Collection[str] | None = None,
) -> None:
    async def at_work() -> None:
        address = dsn or state.load().dsns.get(service, "")
        async with operating.database(address, service, among=among) as connection:
            await work(connection)

    with one_sentence():
        asyncio.run(at_work())


def _database_and_kafka(dsn: str | None) -> tuple[str, Connection]:
    """Return the database and the Kafka that are named, or both of what `linepool up` runs."""
    kafka = connection_of(os.environ)
    if dsn is None and kafka is None:
        running = state.load()
        return running.admin_dsn, running.admin
    if dsn is None or kafka is None:
        raise operating.OperatingError(
            "name both, the database (LINEPOOL_POSTGRES_DSN) and the Kafka (LINEPOOL_KAFKA_BOOTSTRAP_SERVERS and its login)"
        )
    return dsn, kafka


def _say_what_to_type(running: state.State) -> None:
    console.print(
        "\n[bold]The purchase waits for the selection.[/bold] Everything runs in the background. Type:\n"
    )
    console.out(f"  export LINEPOOL_SESSION={shlex.quote(running.coordinator_session)}")
    for command, meaning in (
        (
            "linepool request show",
            "what was asked for, and what each provider was shown; you are the coordinator",
        ),
        ("linepool compare", "what each reply would cost, and each buyer's row"),
        ('linepool select 1 --reason "..."', "the reply of rank 1; the others are told the reason"),
        ("linepool terms show", "what the winner proposes then; accept it: linepool terms accept HASH"),
        ("linepool topics", "all topics; then for example: linepool topics rfp.events --body"),
        (
            "linepool tables distribution",
            "a service's tables; then: linepool tables distribution disclosures",
        ),
        ("linepool status", "how each process is, and where the purchase waits"),
        ("linepool checker", "judge everything that moved so far"),
        ("linepool parked list bidding", "messages that a service has put aside"),
        ("linepool migrations status", "what was done to the schemas"),
        ("linepool audit verify", "find any edit of the services' logs"),
        ("linepool down", "stop everything"),
    ):
        console.print(f"  {command:<33} # {meaning}", soft_wrap=True)
    console.out(
        f"\nA member sees its own row: LINEPOOL_SESSION={shlex.quote(running.member_sessions[0])} linepool compare"
    )
    console.out(f"A group of your own: LINEPOOL_PORTAL={running.portal} linepool group open --help")
    console.print(f"Mails are in {running.mail_folder}.", soft_wrap=True)
    console.print("The command `linepool` is in .venv/bin.", soft_wrap=True)
