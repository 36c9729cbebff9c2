"""`linepool provider ...` for a provider itself: the inbox, replying, and verifying, without writing a program."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import orjson
import typer
from aiokafka.errors import KafkaError
from pydantic import ValidationError
from rich.console import Console

from linepool.provider.bundle import Bundle
from linepool.provider.errors import OfferError, ProviderError, RejectedError, RequestError
from linepool.provider.inbox import Folder, folder_of, write_news, write_notices
from linepool.provider.kit import Provider, id_of, open_provider
from linepool.provider.pricing import preview, problems_of
from linepool.provider.sheet_reading import read_sheet
from linepool.provider.showing import show_preview
from linepool.provider.subscription import subscribe
from linepool.provider.telling import as_json, one_line
from linepool.provider.verifying import verify_receipt
from shared.messages.bidding import MessageRejected
from shared.messages.distribution import AccessOffered, RequestPresented
from shared.messages.providers import ReplySubmitted

BundleFolder = Annotated[
    Path, typer.Option("--bundle", envvar="LINEPOOL_BUNDLE", help="The folder that the operator gave you.")
]
RequestFolder = Annotated[Path, typer.Argument(metavar="REQUEST", help="A request's folder in the inbox.")]
Within = Annotated[float, typer.Option(min=1, help="So many seconds are waited for an answer.")]

console = Console(highlight=False, soft_wrap=True)


def inbox(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the requests' folders go.")],
    bundle: BundleFolder,
    *,
    wait: Annotated[float, typer.Option(min=0, help="Wait so many seconds for a new request.")] = 0,
) -> None:
    """Write each request into a folder, with its documents and a price sheet, and keep all notices."""
    with one_sentence():
        asyncio.run(_fill_inbox(Bundle.read(bundle), folder, wait))


def submit(
    sheet: Annotated[Path, typer.Option(help="The filled-in price sheet, in its request's folder.")],
    bundle: Annotated[Path | None, typer.Option("--bundle", envvar="LINEPOOL_BUNDLE")] = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and rate, send nothing.")] = False,
    revision: Annotated[
        int | None, typer.Option(min=1, help="Replaces all lower ones (default: the next).")
    ] = None,
    within: Within = 60,
) -> None:
    """Check a price sheet, show what the group will see, seal it, send it, and wait for the receipt."""
    with one_sentence():
        folder = Folder(sheet.resolve().parent)
        request = folder.read()
        offer = read_sheet(sheet, request.content)
        if reasons := problems_of(request, offer):
            raise OfferError(reasons)
        show_preview(console, request, offer, preview(request, offer))
        if dry_run:
            console.print("Nothing was sent.")
            return
        if bundle is None:
            raise ProviderError("name your bundle with --bundle, or in LINEPOOL_BUNDLE")
        if not yes:
            typer.confirm("Send this reply?", abort=True)

        async def send(provider: Provider) -> None:
            if before := folder.unanswered():
                console.print(f"Revision {before[0]} has no receipt yet; it is sent again first.")
                await _send_reply(provider, folder, *before, within)
            number = revision or folder.next_revision()
            body = provider.reply(request, offer, revision=number).to_bytes()
            folder.keep_reply(number, body)
            await _send_reply(provider, folder, number, body, within)

        asyncio.run(_connected(Bundle.read(bundle), send))


def withdraw(request: RequestFolder, bundle: BundleFolder, *, within: Within = 60) -> None:
    """Take back the reply that stands; until the deadline another may follow."""
    with one_sentence():
        folder = Folder(request)
        asked, receipt = folder.read(), folder.last_receipt()
        _say(bundle, lambda provider: provider.withdraw(asked, receipt), within)


def decline(
    request: RequestFolder,
    reason: Annotated[str, typer.Argument(help="Why there will be no reply.")],
    bundle: BundleFolder,
    *,
    within: Within = 60,
) -> None:
    """Say that there will be no reply."""
    with one_sentence():
        purchase_id, version = Folder(request).subject()
        _say(bundle, lambda provider: provider.decline(purchase_id, reason=reason, version=version), within)


def ask(
    request: RequestFolder,
    question: Annotated[str, typer.Argument(help="Everyone gets the answer; nobody learns who asked.")],
    bundle: BundleFolder,
    *,
    within: Within = 60,
) -> None:
    """Ask a question about a request."""
    with one_sentence():
        asked = Folder(request).read()
        _say(bundle, lambda provider: provider.ask(asked, question), within)


def acknowledge(request: RequestFolder, bundle: BundleFolder, *, within: Within = 60) -> None:
    """Say that you have read a request."""
    with one_sentence():
        asked = Folder(request).read()
        _say(bundle, lambda provider: provider.acknowledge(asked), within)


def access(request: RequestFolder, bundle: BundleFolder, *, within: Within = 60) -> None:
    """Ask for access to a request that was offered, and write it into its folder."""
    with one_sentence():
        folder = Folder(request)
        offered = folder.read_offered()

        async def get(provider: Provider) -> None:
            shown = await provider.granted(offered, await provider.ask_for_access(offered), within=within)
            folder.write(shown)
            console.out(f"Access is granted; see {folder.path / 'request.html'}")

        asyncio.run(_connected(Bundle.read(bundle), get))


def terms(
    request: RequestFolder,
    text: Annotated[Path, typer.Option("--text", help="A text file: the terms.")],
    bundle: BundleFolder,
    *,
    title: Annotated[str, typer.Option(help="How the group sees them named.")] = "Terms and conditions",
    document: Annotated[
        Path | None, typer.Option("--document", help="A file that belongs to them, of at most 10 MiB.")
    ] = None,
    attempt: Annotated[
        int,
        typer.Option(min=1, help="A higher number proposes the same terms anew, where they were rejected."),
    ] = 1,
    within: Within = 60,
) -> None:
    """Propose your terms for the award."""
    with one_sentence():
        purchase_id, _ = Folder(request).subject()
        written = text.read_text("utf-8")

        async def propose(provider: Provider) -> str:
            award = await provider.award(purchase_id, within=within)
            return await provider.propose_terms(
                purchase_id,
                award=award.award,
                title=title,
                text=written,
                document=document,
                attempt=attempt,
            )

        _say(bundle, propose, within)


def listen(
    bundle: BundleFolder,
    *,
    as_objects: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    group: Annotated[str, typer.Option(help="Whose position is kept: a name for each program.")] = "listen",
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Not from where this group was.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Stop at the end of what is there now.")] = False,
) -> None:
    """Print each invitation and notice as it comes, from where it was the last time."""

    async def work() -> None:
        async with subscribe(Bundle.read(bundle), group=group) as heard:
            if from_beginning:
                await heard.from_beginning()
            async for entry in heard.so_far() if once else heard:
                typer.echo(orjson.dumps(as_json(entry)) if as_objects else one_line(entry))

    with one_sentence():
        asyncio.run(work())


def verify(
    receipt: Annotated[Path, typer.Argument(help="A receipt that was kept beside its reply.")],
    bundle: BundleFolder,
    *,
    notices: Annotated[Path | None, typer.Option(help="notices.jsonl (default: of its inbox).")] = None,
) -> None:
    """Prove, without asking anybody, that a receipt is genuine and in the chain; the exit code is 1 if not."""
    with one_sentence():
        finding = verify_receipt(Bundle.read(bundle), receipt, notices)
    for line in finding.lines():
        console.out(line)
    raise typer.Exit(0 if finding.ok else 1)


def add_to(app: typer.Typer) -> None:
    """Add these commands to `linepool provider`."""
    for command in (inbox, submit, withdraw, decline, ask, acknowledge, access, terms, listen, verify):
        app.command()(command)


@contextmanager
def one_sentence() -> Iterator[None]:
    """Say what went wrong in a sentence, a sheet's problems a line each, and exit with 1; Ctrl-C exits with 130."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        _fail(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
    except (ProviderError, OSError, KafkaError, ValueError) as error:
        _fail(str(error) or type(error).__name__)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _fail(text: str) -> None:
    for line in text.splitlines():
        typer.echo(f"linepool: {line}", err=True)
    raise typer.Exit(1)


def _say(bundle: Path, speak: Callable[[Provider], Awaitable[str]], within: float) -> None:
    async def work(provider: Provider) -> None:
        receipt = await provider.receipt(await speak(provider), within=within)
        console.out(f"Receipt: taken at {receipt.appended_at:%Y-%m-%d %H:%M:%S} UTC.")

    asyncio.run(_connected(Bundle.read(bundle), work))


async def _connected(bundle: Bundle, work: Callable[[Provider], Awaitable[None]]) -> None:
    async with open_provider(bundle) as provider:
        await work(provider)


async def _send_reply(provider: Provider, folder: Folder, revision: int, body: bytes, within: float) -> None:
    message_id = id_of(body)
    await provider.send_bytes(body, message_id=message_id, type_=ReplySubmitted.type())
    answer = await provider.answer(message_id, within=within)
    kept = folder.keep_answer(revision, answer.to_bytes())
    if isinstance(answer, MessageRejected):
        raise RejectedError(answer)
    console.out(
        f"Receipt: revision {revision} was taken at {answer.appended_at:%Y-%m-%d %H:%M:%S} UTC as reply "
        f"{answer.reply_id}. It is kept in {kept}"
    )


async def _fill_inbox(bundle: Bundle, inbox_folder: Path, wait: float) -> None:
    async with open_provider(bundle) as provider:
        await provider.journal.catch_up()
        told = await _write_requests(provider, inbox_folder)
        if not told and wait:
            size = len(provider.journal.entries)
            await provider.journal.wait_until(
                lambda: any(_is_request(entry.envelope.type) for entry in provider.journal.entries[size:]),
                within=wait,
                what="a new request",
            )
            told = await _write_requests(provider, inbox_folder)
        write_notices(inbox_folder, provider.journal.entries)
        console.out("\n".join(told) or "Nothing new.")


def _is_request(type_: str | None) -> bool:
    return type_ in {RequestPresented.type(), AccessOffered.type()}


async def _write_requests(provider: Provider, inbox_folder: Path) -> list[str]:
    """Write every request that is not there yet, and everybody's news; return a line for each that is new."""
    told: list[str] = []
    journal = provider.journal
    faults: list[str] = []
    for offered in journal.all_of(AccessOffered):
        folder = folder_of(inbox_folder, offered)
        if not (folder.path / "offered.json").exists():
            folder.write_offered(offered)
            told.append(f"access offered: {folder.path}")
        write_news(folder, offered.purchase_id, journal.entries)
    for presented in journal.all_of(RequestPresented):
        folder = folder_of(inbox_folder, presented)
        if not (folder.path / "invitation.json").exists():
            try:
                shown = await provider.request(presented.purchase_id, version=presented.request_version)
            except (RequestError, TimeoutError) as error:
                faults.append(f"{folder.path}: {error}")
                continue
            folder.write(shown)
            told.append(f"request: {folder.path}")
        write_news(folder, presented.purchase_id, journal.entries)
    if faults:
        write_notices(inbox_folder, journal.entries)
        raise RequestError("\n".join(faults))
    return told
