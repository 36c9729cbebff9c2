"""A whole purchase from the shell: a coordinator who has nothing but the command `linepool` and a mailbox."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from time import monotonic
from uuid import UUID, uuid4

import pytest

from shared.messages.aggregation import GroupAggregated
from shared.messages.bidding import ProviderSelected, RepliesCompared, TermsAccepted, TermsPresented
from shared.messages.rfp import DeadlinePassed, RecordVerification, RequestIssued
from tests.flow.purchase import OFFICER, bid
from tests.integration.shell import Shell, Walk, signed_in
from tests.integration.system import PROVIDERS, RealSystem
from tests.integration.test_portal import OWN, mailed, until

MEMBERS = """legal_name,XI-LEI,contact_name,contact_email
Example Town Hall,5493001KJTIIGC8Y1R12,Tom Hall,tom@{domain}
Example Library,529900T8BM49AURSDO55,Lia Brary,lia@{domain}
"""
INVITED = "Example Museum"
CUSTODIAN = ("--keys", "custodian.json")
USAGE = """buyer,line_id,month,recurring_charge,voice.day:MIN,voice.day:charge
Example Town Hall,030-1,2026-01,9.90,120.5,20.49
Example Town Hall,030-2,2026-01,9.90,60,10.20
Example Library,040-1,2026-01,9.90,30,5.10
Example Museum,050-1,2026-01,9.90,40,6.80
"""


async def test_a_new_address_counts_once_the_code_that_is_mailed_there_is_typed(
    system: RealSystem, shell: Shell
) -> None:
    domain = f"{uuid4().hex[:8]}.example"
    email, new = f"ada@{domain}", f"lovelace@{domain}"
    opening = ("--currency", "EUR", "--tax-basis", "net", "--name", "Ada", "--email", email)
    await shell.run("group", "open", "Two towns", *opening)
    await signed_in(system, shell, email)

    assert new in await shell.run("contact", "change", "--email", new)
    code = await mailed(system, new, r"^\s+([0-9A-Z]{8})\s*$")

    async def known() -> bool | None:
        return True if new in await shell.run("whoami", "--json") else None

    await until(known)
    assert "The code is wrong" in await shell.run("contact", "confirm", "00000000", fails=True)
    assert new in await shell.run("contact", "confirm", code)

    async def counts() -> bool | None:
        return True if f"<{new}>" in await shell.run("whoami") else None

    await until(counts)
    await mailed(system, email, r"(mails to you\s+go to another\s+address)")


async def joined(system: RealSystem, shell: Shell, coordinator: Shell, email: str) -> None:
    """Be invited, and join with the link that is mailed."""
    naming = ("--name", "Muse Um", "--email", email)
    assert "is invited" in await coordinator.run("group", "invite", INVITED, *naming)
    link = await mailed(system, email, r"^\s+(https?://\S+/join/[0-9A-Z]{26})\s*$")
    assert link.startswith(f"{shell.portal}/join/")
    entry = ("--identifier", "XI-LEI:5299000J2N45DDNE4Y28", "--password-stdin")

    async def join() -> str | None:
        try:
            return await shell.run("join", link, *entry, typed=f"{OWN}\n")
        except AssertionError:  # The mail may be faster than the portal's own reading.
            return None

    assert f"{INVITED} joins" in await until(join)
    assert "not valid" in await shell.run("join", link, *entry, typed=f"{OWN}\n", fails=True)

    async def is_member() -> bool | None:
        try:
            return True if INVITED in await shell.run("group", "show") else None
        except AssertionError:
            return None

    await until(is_member)


async def verified(system: RealSystem, purchase_id: UUID, buyers: list[UUID]) -> None:
    aggregated = await system.until(GroupAggregated, purchase_id)
    parties = [("coordinator", aggregated.coordinator_id), *(("buyer", one) for one in buyers)]
    for party, party_id in parties:
        finding = {
            "purchase_id": purchase_id,
            "snapshot": aggregated.snapshot,
            "party": party,
            "party_id": party_id,
            "outcome": "verified",
            "method": "register",
            "reference": "HRB 1234",
            "valid_until": datetime.now(UTC) + timedelta(days=20),
        }
        await system.order(RecordVerification.model_validate(finding), OFFICER)


async def requested(
    system: RealSystem, walk: Walk, purchase_id: UUID, buyers: list[UUID]
) -> asyncio.Task[str]:
    """Issue the request, have the group verified, and let the providers reply; return what goes on watching the purchase."""
    began = monotonic()
    await walk.step("linepool request template")
    file = walk.shell.folder / "need.json"
    need = json.loads(file.read_text())
    # Seven more commands come before the deadline, and on a busy machine they are what takes the time.
    typing = 9 * (monotonic() - began)
    deadline = (datetime.now(UTC) + timedelta(seconds=system.soon(faults=20 + typing))).isoformat()
    await walk.shell.run("custodian", "keys", "custodian.json")
    public = await walk.shell.run("custodian", "public", str(purchase_id), deadline, *CUSTODIAN)
    custodian = {"name": "Meier & Partners", "public_key": public.strip()}
    file.write_text(json.dumps({**need, "deadline": deadline, "custodian": custodian}))
    await walk.step("linepool request describe")
    await walk.step("linepool request to", **{"PROVIDER PROVIDER": " ".join(PROVIDERS)})
    watching = asyncio.create_task(walk.step("linepool request issue"))
    await system.until(RequestIssued, purchase_id)
    assert "Europe/Berlin" in await walk.shell.run("request", "show")
    await verified(system, purchase_id, buyers)
    await bid(system, replace(system.purchase(), purchase_id=purchase_id))
    assert "Sealed twice, for Meier & Partners too" in await walk.shell.run("request", "show")
    await released(system, walk.shell, purchase_id, deadline)
    return watching


async def released(system: RealSystem, shell: Shell, purchase_id: UUID, deadline: str) -> None:
    """Let the custodian print its key once the deadline has passed, and the coordinator hand it in."""
    await system.until(DeadlinePassed, purchase_id)
    printed = await shell.run("custodian", "release", str(purchase_id), deadline, *CUSTODIAN)
    (shell.folder / "released.json").write_text(printed)

    async def hand_in() -> bool | None:
        try:
            await shell.run("request", "release-key", "released.json")
        except AssertionError:  # The portal may not have read yet that the deadline has passed.
            return None
        return True

    await until(hand_in)


async def signed_in_as_the_readme_says(system: RealSystem, walk: Walk, email: str) -> None:
    """Type at a terminal what `linepool login` asks for; the mail may be faster than the portal's own reading."""
    initial = await mailed(system, email, r"^\s+([0-9A-Z]{26})\s*$")
    line = walk.next("linepool login")
    asked = ("Mail address", "Password", "Choose a password", "Repeat")

    async def sign_in() -> str | None:
        answers = list(zip(asked, (email, initial, OWN, OWN), strict=True))
        try:
            return await asyncio.to_thread(walk.shell.at_a_terminal, line, answers)
        except AssertionError:
            return None

    shown = await until(sign_in)
    assert "You are signed in" in shown
    assert OWN not in shown


async def formed(system: RealSystem, walk: Walk, museum: Shell, domain: str) -> UUID:
    """Open a group, bring three buyers into it, one of them by a link, report what they use, and close it."""
    shell, email = walk.shell, f"ada@{domain}"
    assert walk.next("export LINEPOOL_PORTAL=https://")
    opening = "--time-zone Europe/Berlin --json"
    said = json.loads(await walk.step("linepool group open", opening, **{"ada@harbour.example": email}))
    purchase_id = UUID(said["purchase_id"])
    assert "not signed in" in await shell.run("group", "list", fails=True)
    await signed_in_as_the_readme_says(system, walk, email)

    await walk.step("linepool group template members.csv")
    assert "An import would add Example Library" in await shell.line("linepool group check members.csv")
    (shell.folder / "members.csv").write_text(MEMBERS.format(domain=domain))
    assert "has joined" in await walk.step("linepool group import members.csv")
    await walk.step("mkdir bills; linepool usage template bills/january.csv")
    assert "An import would report for Example Library" in await shell.line("linepool usage check bills/")
    (shell.folder / "bills" / "january.csv").write_text(USAGE)
    await joined(system, museum, shell, f"muse@{domain}")
    again = json.loads(await shell.run("group", "import", "members.csv", "--json"))
    assert again["done"] == [
        f"{name} is a member already." for name in ("Example Town Hall", "Example Library")
    ]
    assert "has not reported its usage" in await shell.run("group", "close", fails=True)
    assert "lines are reported" in await walk.step("linepool usage import bills/")
    assert len(json.loads(await shell.run("usage", "import", "bills", "--json"))["done"]) == 3
    await walk.step("linepool group close")
    return purchase_id


@pytest.mark.timeout(900)
async def test_the_readme_s_way_from_the_shell_is_a_whole_purchase(system: RealSystem, shell: Shell) -> None:
    domain = f"{uuid4().hex[:8]}.example"
    walk, museum = Walk.of_the_readme(shell), Shell(shell.folder / "museum", shell.portal)
    museum.folder.mkdir()
    purchase_id = await formed(system, walk, museum, domain)
    shown = json.loads(await shell.run("group", "show", "--json"))
    assert (shown["count"], shown["usage_lines"]) == (3, 4)

    buyers = [UUID(one["buyer_id"]) for one in shown["buyers"]]
    watching = await requested(system, walk, purchase_id, buyers)

    await system.until(RepliesCompared, purchase_id)

    async def compared() -> str | None:
        try:
            return await shell.run("compare", "--json")
        except AssertionError:
            return None

    comparison = json.loads(await until(compared))
    best = comparison["evaluations"][0]
    assert {row["buyer_id"] for row in best["buyers"]} == {one["buyer_id"] for one in shown["buyers"]}
    assert "Example Library" in await walk.step("linepool compare")
    await walk.step("linepool select 1 --reason", **{"...": "Dearer."})
    selected = await system.until(ProviderSelected, purchase_id)
    assert str(selected.reply_id) == best["reply_id"]
    await system.word(selected.provider_id, replace(system.purchase(), purchase_id=purchase_id).terms())
    presented = await system.until(TermsPresented, purchase_id)

    async def terms() -> str | None:
        try:
            return await shell.run("terms", "show")
        except AssertionError:
            return None

    await until(terms)
    assert presented.terms_sha256 in await walk.step("linepool terms show")
    assert "not the terms" in await shell.run("terms", "accept", "0" * 12, fails=True)
    await walk.step("linepool terms accept", HASH=presented.terms_sha256[:12])
    assert walk.left == []
    assert (await system.until(TermsAccepted, purchase_id)).terms_sha256 == presented.terms_sha256
    assert "terms accepted" in await watching
    assert "complete" in await shell.run("group", "list")
    assert INVITED in await museum.run("compare")
    assert "Example Library" not in await museum.run("compare")
    await mailed(system, f"muse@{domain}", r"(Accepted were exactly the terms)")
    await shell.run("logout")
    assert "not signed in" in await shell.run("group", "list", fails=True)
