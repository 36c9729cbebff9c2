"""Part 4, at its end: a provider verifies its receipt with the command, its inbox and its bundle, and asks nobody."""

import asyncio
import json
import shutil
import sys
from pathlib import Path

from linepool.demo.replying import Replied
from linepool.demo.stage import Stage
from linepool.demo.story import Verified
from linepool.demo.waiting import PATIENCE
from linepool.provider.bundle import Bundle
from linepool.provider.inbox import Folder, write_notices
from shared.messages.bidding import InclusionProved

NOWHERE = "nowhere.invalid:9092"
"""So that the command cannot ask anybody, even if it wanted to: names under .invalid do not exist (RFC 2606)."""
COMMAND = "linepool provider verify inbox/request/replies/0001.receipt.json --bundle bundle"


async def verify_a_receipt(stage: Stage, replied: Replied) -> Verified:
    """Let a bidder verify the receipt of its reply, and then one in which a single digit was changed."""
    tell, pid = stage.tell, stage.roles.bidders[-1]
    provider, name = stage.providers[pid], stage.roles.names[pid]
    tell.doing("a provider verifies its receipt")
    await provider.journal.wait_for(
        lambda entry: entry.says(InclusionProved, stage.purchase_id),
        within=PATIENCE,
        what="the proofs of the receipts",
    )
    await provider.journal.catch_up()
    receipt = await provider.receipt(replied.sent[pid], within=PATIENCE)
    changed = receipt.model_copy(update={"sha256": _another_digit(receipt.sha256)})
    folders = []
    for kept in (receipt, changed):
        folder = stage.stack.folder / "verifying" / kept.sha256
        shutil.rmtree(folder, ignore_errors=True)
        _write_bundle(folder / "bundle", provider.bundle)
        write_notices(folder / "inbox", provider.journal.entries)
        request = Folder(folder / "inbox" / "request")
        request.keep_reply(1, _sent(stage, pid, replied.sent[pid]))
        request.keep_answer(1, kept.to_bytes())
        folders.append(folder)
    (code, said), (code_of_changed, said_of_changed) = await asyncio.gather(*map(_run, folders))
    tell.step("A provider verifies its receipt offline", f"{name} runs: {COMMAND}")
    for line in said:
        tell.say(line)
    tell.claim(
        f"the receipt of {name} is genuine, by its own files alone: the bundle that was used names no broker that exists",
        holds=code == 0 and len(said) > 1,
    )
    tell.claim(
        "the same receipt with one digit changed is found to be wrong",
        holds=code_of_changed == 1 and any(line.startswith("WRONG") for line in said_of_changed),
    )
    return Verified(provider=name, command=COMMAND, said=said, said_of_changed=said_of_changed)


def _write_bundle(folder: Path, bundle: Bundle) -> None:
    folder.mkdir(parents=True)
    described = {
        "bootstrap_servers": NOWHERE,
        "provider_id": bundle.provider_id,
        "username": bundle.connection.username,
        "keys": bundle.keys.model_dump(),
    }
    (folder / "linepool.json").write_text(json.dumps(described), "utf-8")
    (folder / "client.properties").write_text("sasl.password=none\n", "utf-8")


def _sent(stage: Stage, pid: str, message_id: str) -> bytes:
    """Return the bytes of a reply, as they stand on its provider's topic."""
    entries = stage.watcher.journal.entries
    return next(
        one.body or b"" for one in entries if one.topic == f"replies.{pid}" and one.envelope.id == message_id
    )


def _another_digit(digest: str) -> str:
    return ("1" if digest[0] == "0" else "0") + digest[1:]


async def _run(folder: Path) -> tuple[int, tuple[str, ...]]:
    """Run the command as a process of its own; return its exit code and what it says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *COMMAND.split(),
        cwd=folder,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    return process.returncode or 0, tuple(said.decode().splitlines())
