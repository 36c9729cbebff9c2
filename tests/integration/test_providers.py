"""Providers from outside: the kit, the commands of docs/providers.md as they are typed, and a provider without our code."""

import asyncio
import json
import os
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import openpyxl
import pytest

from linepool.client.people import open_people
from linepool.provider import Bundle, RejectedError, TermsError, open_provider, subscribe
from shared.messages.base import DOCUMENT_BYTES
from shared.messages.bidding import AcceptTerms, RepliesCompared, SelectReply, TermsAccepted, TermsPresented
from shared.messages.distribution import RequestPresented
from tests.flow.purchase import Purchase, an_offer, cancelling, form, issue, register, verify
from tests.integration.bundles import bundle
from tests.integration.system import FACING_PROVIDERS, PROVIDERS, RealSystem

DOCS = Path(__file__).parents[2] / "docs"
KIT, PLAIN = PROVIDERS[:2]
SHELL = "shellshellsh"
"""A new provider: the page begins with an empty inbox."""


async def run(*command: str, cwd: Path) -> str:
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(cwd),
        "LANG": "C.UTF-8",
    }
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=environment, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), 240)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0, said.decode()
    return said.decode()


def fill_in(folder: Path, request: str = "*") -> None:
    (sheet,) = folder.glob(f"inbox/{request}/price-sheet.xlsx")
    book = openpyxl.load_workbook(sheet)
    prices = book["Prices"]
    prices["B10"], prices["B11"], prices["E22"] = "From the page", "One invoice a month.", 0.2
    book.save(sheet)


async def follow_the_page(folder: Path) -> str:
    """Run the page's commands as they stand there; what a person does between them is done here."""
    blocks = re.findall(
        r"^```sh run\n(.*?)^```$", (DOCS / "providers.md").read_text(), re.DOTALL | re.MULTILINE
    )
    first, second = blocks
    said = await run("bash", "-euc", first, cwd=folder)
    fill_in(folder)
    context = [line for line in first.splitlines() if line.startswith(("export", "REQUEST="))]
    return said + await run("bash", "-euc", "\n".join([*context, second]), cwd=folder)


def other_commands() -> list[str]:
    """What the page names beside the way to the first receipt."""
    (block,) = re.findall(
        r"^Also:\n\n```sh\n(.*?)^```$", (DOCS / "providers.md").read_text(), re.DOTALL | re.MULTILINE
    )
    return str(block).splitlines()


async def test_three_providers_of_three_kinds_pass_a_whole_purchase(
    system: RealSystem, tmp_path: Path
) -> None:
    login = await asyncio.to_thread(system.stack.add_provider, SHELL)
    like = system.connections[KIT]
    system.connections[SHELL] = replace(like, username=login.username, password=login.password)
    await system.journal.add([f"{kind}{SHELL}" for kind in FACING_PROVIDERS])
    await register(system, SHELL)
    purchase = Purchase((KIT, PLAIN, SHELL))
    about = purchase.purchase_id
    await form(system, purchase)
    ahead = timedelta(seconds=60 + 2 * system.soon())
    snapshot = await issue(system, purchase, datetime.now(UTC) + ahead)
    await verify(system, purchase, snapshot)
    for provider_id in purchase.providers:
        await system.until(RequestPresented, about, provider_id=provider_id)
    shell = tmp_path / "shell"
    shell.mkdir()
    bundle(system, SHELL, shell / "bundle")
    plain_bundle = bundle(system, PLAIN, tmp_path / "plain")
    plain = asyncio.create_task(
        run(
            sys.executable,
            str(DOCS / "examples" / "plain_provider.py"),
            str(plain_bundle),
            "0.05",
            str(about),
            cwd=tmp_path,
        )
    )
    async with open_provider(Bundle.read(bundle(system, KIT, tmp_path / "kit"))) as kit:
        request = await kit.request(about, within=60)
        receipt = await kit.receipt(await kit.submit(request, an_offer("0.3")), within=60)
        again = await kit.submit(request, an_offer("0.1"), revision=2)
        assert (await kit.receipt(again, within=60)).reply_id != receipt.reply_id
        lower = await kit.submit(request, an_offer("0.4"), revision=1)
        with pytest.raises(RejectedError, match="revision_used"):
            await kit.receipt(lower, within=60)
        said = await follow_the_page(shell)
        assert "Receipt: revision 1 was taken" in said
        assert "receipt for message" in said
        compared = await system.until(RepliesCompared, about, within=300)
        assert [one.provider_id for one in compared.replies] == [PLAIN, KIT, SHELL]
        best = compared.replies[0]
        order = SelectReply(purchase_id=about, reply_id=best.reply_id, reason_for_others="It costs less.")
        await system.order(order, purchase.coordinator)
        presented = await system.until(TermsPresented, about)
        accepting = AcceptTerms(purchase_id=about, award=1, terms_sha256=presented.terms_sha256)
        await system.order(accepting, purchase.coordinator)
        await system.until(TermsAccepted, about)
        assert (await kit.unsuccessful(about, within=60)).rank == 2
        assert "linepool.acceptance-notified.v1" in await plain


async def test_the_other_commands_of_the_page_work_as_they_stand(system: RealSystem, tmp_path: Path) -> None:
    purchase = Purchase((KIT, PLAIN))
    about = purchase.purchase_id
    await form(system, purchase)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(days=1))
    await verify(system, purchase, snapshot)
    await system.until(RequestPresented, about, provider_id=PLAIN)
    bundle(system, PLAIN, tmp_path / "bundle")
    context = f"export LINEPOOL_BUNDLE=bundle; REQUEST=$(ls -d inbox/*-{str(about)[:8]}*/)"

    async def shell(line: str) -> str:
        return await run("bash", "-euc", f"{context}; {line}", cwd=tmp_path)

    await run("linepool", "provider", "inbox", "inbox", "--bundle", "bundle", cwd=tmp_path)
    fill_in(tmp_path, f"*-{str(about)[:8]}")
    await shell('linepool provider submit --sheet "$REQUEST/price-sheet.xlsx" --yes')
    lines = other_commands()
    said = {
        line.split()[2]: await shell(line) for line in lines if " terms " not in line and "listen" not in line
    }

    for word in ("acknowledge", "ask", "withdraw", "decline"):
        assert said[word].startswith("Receipt: taken at "), word
    assert "exactly the bytes that were sent" in said["verify"]
    heard = await shell(next(line for line in lines if "listen" in line) + " --once")
    messages = [json.loads(line) for line in heard.splitlines()]
    assert sum(str(about) in str(one) for one in messages) >= 5
    await system.order(cancelling(purchase), purchase.coordinator)


async def test_terms_with_a_document_of_ten_mebibytes_reach_the_group_whole(
    system: RealSystem, tmp_path: Path
) -> None:
    purchase = Purchase((KIT, PLAIN))
    about = purchase.purchase_id
    await form(system, purchase)
    snapshot = await issue(system, purchase, datetime.now(UTC) + timedelta(seconds=10 + system.soon()))
    await verify(system, purchase, snapshot)
    shell = tmp_path / "shell"
    shell.mkdir()
    mine = Bundle.read(bundle(system, KIT, shell / "bundle"))
    content = Random(10).randbytes(DOCUMENT_BYTES)  # noqa: S311 # bytes to repeat, no secret
    (shell / "terms.txt").write_text("The document has it all.")
    (shell / "terms.pdf").write_bytes(content)
    (shell / "longer.pdf").write_bytes(content + b".")
    async with open_provider(mine) as kit, open_people(system.connections["portal"]) as people:
        await kit.submit(await kit.request(about, within=60), an_offer("0.1"))
        presented = await system.until(RequestPresented, about, provider_id=PLAIN)
        await system.word(PLAIN, purchase.sealed_reply(1, presented))
        compared = await system.until(RepliesCompared, about, within=300)
        assert compared.replies[0].provider_id == KIT
        await people.select_reply(
            purchase.coordinator,
            about,
            reply_id=compared.replies[0].reply_id,
            reason_for_others="It costs more.",
        )
        await kit.award(about, within=60)
        for wrong in (tmp_path / "missing.pdf", ("empty.pdf", b""), ("terms.pdf", content + b".")):
            with pytest.raises((OSError, TermsError)):
                await kit.propose_terms(about, award=1, title="Terms", text="See there.", document=wrong)

        await run("linepool", "provider", "inbox", "inbox", "--bundle", "bundle", cwd=shell)
        (line,) = [one for one in other_commands() if " terms " in one]
        page = f"export LINEPOOL_BUNDLE=bundle; REQUEST=$(ls -d inbox/*-{str(about)[:8]}*/); {line}"
        with pytest.raises(AssertionError, match="document cannot be sent"):
            await run("bash", "-euc", page.replace("terms.pdf", "longer.pdf"), cwd=shell)
        said = await run("bash", "-euc", f"{page} --within 200", cwd=shell)
        assert said.startswith("Receipt: taken at ")
        terms = await system.until(TermsPresented, about)
        assert await people.terms_document(terms, within=120) == content
        await people.accept_terms(purchase.coordinator, about, award=1, terms_sha256=terms.terms_sha256)
        assert (await kit.acceptance(about, within=60)).terms_sha256 == terms.terms_sha256
    await system.rest()
    await system.check()


async def test_a_subscription_goes_on_where_it_was(system: RealSystem, tmp_path: Path) -> None:
    mine = Bundle.read(bundle(system, KIT, tmp_path / "kit"))
    async with subscribe(mine, group="going-on") as heard:
        everything = [(entry.topic, entry.offset) async for entry in heard.so_far()]
    assert everything
    async with subscribe(mine, group="going-on") as heard:
        assert [entry async for entry in heard.so_far()] == []
        await heard.from_beginning()
        repeated = [(entry.topic, entry.offset) async for entry in heard.so_far()]
    assert sorted(repeated) == sorted(everything)
