"""From the shell, on the real stack: a letter of agency, evidence, a minimum, an attachment, and the answer to a question."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from shared.messages.aggregation import (
    BuyerJoined,
    BuyerLeft,
    GroupAggregated,
    GroupDissolved,
    MinimumSet,
)
from shared.messages.distribution import AnswerPresented, RequestPresented
from shared.messages.evidence import EvidenceFiled, LetterFiled
from shared.messages.people import BuyerInvited, InvitationRevoked
from shared.messages.providers import QuestionAsked
from shared.messages.rfp import RequestCancelled
from tests.integration.shell import Shell, signed_in
from tests.integration.system import PROVIDERS, RealSystem
from tests.integration.test_people_commands import USAGE, verified
from tests.integration.test_portal import until

BUYER = "Example Town Hall"
LETTER = b"%PDF-1.7 letter" * 40_000


async def formed(system: RealSystem, shell: Shell) -> UUID:
    """Open a group that demands letters of agency, with one buyer that has reported its usage."""
    email = f"ada@{uuid4().hex[:8]}.example"
    opening = ("--currency", "EUR", "--tax-basis", "net", "--letters", "--name", "Ada", "--email", email)
    said = json.loads(await shell.run("group", "open", "One town", *opening, "--json"))
    await signed_in(system, shell, email)
    entry = ("--identifier", "XI-LEI:5493001KJTIIGC8Y1R12", "--name", "Tom Hall", "--email", f"tom.{email}")
    added = json.loads(await shell.run("group", "add", BUYER, *entry, "--json"))
    assert added["facts"][0]["type"] == BuyerJoined.type()
    usage = [line for line in USAGE.splitlines(keepends=True) if line.startswith(("buyer", BUYER))]
    (shell.folder / "usage").mkdir()
    (shell.folder / "usage" / "january.csv").write_text("".join(usage))
    assert "letter of agency is not filed" in await shell.run("usage", "import", "usage", fails=True)
    days = ("--signed-on", "2026-01-10", "--from", "2026-01-10", "--until", "2099-01-01")
    agency = ("--buyer", BUYER, "--signer", "Tom Hall", *days, "--service", "voice.day")
    (shell.folder / "letter.pdf").write_bytes(LETTER)
    assert "is filed" in await shell.run("group", "letter", "letter.pdf", *agency)
    purchase_id = UUID(said["purchase_id"])
    assert (await system.until(LetterFiled, purchase_id)).size == len(LETTER)
    await shell.run("usage", "import", "usage")
    return purchase_id


async def test_a_letter_evidence_and_a_minimum_are_filed_and_nothing_counts_before_the_letter(
    system: RealSystem, shell: Shell
) -> None:
    purchase_id = await formed(system, shell)
    (shell.folder / "register.pdf").write_bytes(b"%PDF-1.7 register")
    await shell.run("group", "minimum", "--buyers", "1", "--by", "2099-01-01", "--otherwise", "dissolve")
    assert (await system.until(MinimumSet, purchase_id)).buyers == 1

    about = ("--kind", "register_extract", "--coordinator")
    assert "is filed" in await shell.run("group", "evidence", "register.pdf", *about)
    assert (await system.until(EvidenceFiled, purchase_id)).size == len(b"%PDF-1.7 register")
    assert "more than 10 MiB" in await shell.run("group", "evidence", too_large(shell), *about, fails=True)

    await shell.run("group", "close")
    await system.until(GroupAggregated, purchase_id)


def too_large(shell: Shell) -> str:
    file = shell.folder / "scan.tiff"
    file.write_bytes(bytes(10 * 1024 * 1024 + 1))
    return file.name


async def test_providers_get_what_is_attached_and_all_hear_the_answer_to_one_question(
    system: RealSystem, shell: Shell
) -> None:
    purchase_id = await formed(system, shell)
    await shell.run("group", "close")
    joined = await system.until(BuyerJoined, purchase_id)

    need = json.loads(await shell.run("request", "template"))
    deadline = datetime.now(UTC) + timedelta(minutes=20)
    (shell.folder / "need.json").write_text(json.dumps({**need, "deadline": deadline.isoformat()}))
    (shell.folder / "sites.pdf").write_bytes(b"%PDF-1.7 sites" * 50_000)
    await shell.run("request", "describe", "need.json")
    assert "is attached" in await shell.run("request", "attach", "sites.pdf")
    await shell.run("request", "to", *PROVIDERS)
    await shell.run("request", "issue")
    await verified(system, purchase_id, [joined.buyer_id])
    for provider_id in PROVIDERS:
        shown = await system.until(RequestPresented, purchase_id, provider_id=provider_id)
        assert "sites.pdf" in [one.name for one in shown.documents]

    asked = "May the lines of one site be split?"
    question = QuestionAsked(purchase_id=purchase_id, request_version=1, question=asked)
    await system.word(PROVIDERS[0], question)

    async def listed() -> str | None:
        said = json.loads(await shell.run("request", "questions", "--json"))
        return said[0]["question_id"] if said else None

    question_id = await until(listed)
    assert asked in await shell.run("request", "questions")
    await shell.run("request", "answer", question_id[:8], "Yes, they may.")
    for provider_id in PROVIDERS:
        told = await system.until(AnswerPresented, purchase_id, provider_id=provider_id)
        assert (told.question, told.answer) == (asked, "Yes, they may.")
    assert "Yes, they may." in await shell.run("request", "questions")
    [fact] = json.loads(await shell.run("request", "cancel", "--reason", "A rehearsal.", "--json"))["facts"]
    assert fact["type"] == RequestCancelled.type()
    assert "cancelled" in await shell.run("group", "list")


async def test_what_is_done_to_an_open_group_is_told_to_programs_as_one_document_each(
    system: RealSystem, shell: Shell
) -> None:
    email = f"ada@{uuid4().hex[:8]}.example"
    opening = ("--currency", "EUR", "--tax-basis", "net", "--name", "Ada", "--email", email)
    await shell.run("group", "open", "Two towns", *opening)
    await signed_in(system, shell, email)

    async def told(*command: str) -> dict[str, Any]:
        said = json.loads(await shell.run(*command, "--json"))
        [fact] = said["facts"]
        return fact

    own = ("--name", "Ada", "--email", email)
    entry = ("--identifier", "XI-LEI:5493001KJTIIGC8Y1R12")
    assert (await told("group", "add", BUYER, *entry, *own))["type"] == BuyerJoined.type()
    invited = await told("group", "invite", "Example Museum", "--name", "Muse", "--email", f"muse.{email}")
    assert invited["type"] == BuyerInvited.type()
    revoked = await told("group", "revoke", invited["body"]["invitation_id"])
    assert revoked["type"] == InvitationRevoked.type()
    large = ("--buyers", "2", "--by", "2099-01-01")
    assert (await told("group", "minimum", *large))["type"] == MinimumSet.type()
    assert (await told("group", "leave"))["type"] == BuyerLeft.type()
    assert "which buyer" in await shell.run("group", "leave", "--json", fails=True)
    assert (await told("group", "dissolve", "--reason", "Too few."))["type"] == GroupDissolved.type()
    assert json.loads(await shell.run("logout", "--json"))["email"] == email
