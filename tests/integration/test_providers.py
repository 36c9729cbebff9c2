"""Providers from outside: the kit, the commands of docs/providers.md as they are typed, and a provider without our code."""

import asyncio
import json
import os
import re
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import openpyxl
import pytest

from linepool.provider import Bundle, RejectedError, open_provider, subscribe
from shared.messages.bidding import AcceptTerms, RepliesCompared, SelectReply, TermsAccepted, TermsPresented
from shared.messages.distribution import RequestPresented
from shared.signing import RECEIPTS, SEAL_KEYS, signing_key, verifying_key_b64
from tests.flow.purchase import Purchase, an_offer, form, issue, register, verify
from tests.integration.system import FACING_PROVIDERS, PROVIDERS, RealSystem

DOCS = Path(__file__).parents[2] / "docs"
KIT, PLAIN = PROVIDERS[:2]
SHELL = "shellshellsh"
"""A new provider: the page begins with an empty inbox."""


def bundle(system: RealSystem, provider_id: str, folder: Path) -> Path:
    """Write what the operator hands out."""
    folder.mkdir()
    connection, secrets = system.connections[provider_id], system.stack.secrets
    keys = {
        name: verifying_key_b64(signing_key(bytes.fromhex(secrets[process]), purpose))
        for name, process, purpose in (("receipts", "bidding", RECEIPTS), ("seal_keys", "opener", SEAL_KEYS))
        if process in secrets
    }
    described = {
        "bootstrap_servers": connection.bootstrap_servers,
        "provider_id": provider_id,
        "prefix": connection.prefix,
        "username": connection.username,
        "keys": keys,
    }
    (folder / "linepool.json").write_text(json.dumps(described))
    properties = connection.properties()
    if connection.ca_file:
        (folder / "ca.pem").write_bytes(connection.ca_file.read_bytes())
        properties["ssl.ca.location"] = "ca.pem"
    lines = [f"{name}={value}" for name, value in properties.items()]
    (folder / "client.properties").write_text("\n".join(lines))
    return folder


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


def fill_in(folder: Path) -> None:
    (sheet,) = folder.glob("inbox/*/price-sheet.xlsx")
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
