"""Shows that each guard bites: breaks the code in a copy of the tree, and sees the test fail that alone makes it visible.

python -m tests.guards            all of them, as a table; exit code 0 when each bites
python -m tests.guards NAME ...   only these
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).parents[1]
COPIED = ("services", "shared", "linepool", "deploy", "tests", "pyproject.toml")
AT_ONCE = 2
SECONDS = 240


@dataclass(frozen=True)
class Guard:
    """One way to break the code, and the test that must fail then. `old` stands in the file exactly once."""

    name: str
    file: str
    old: str
    new: str
    test: str


GUARDS = (
    Guard(
        "no inbox key",
        "shared/sql/0001_delivery.sql",
        "    received_at timestamptz NOT NULL DEFAULT clock_timestamp(),\n    PRIMARY KEY (consumer, id)\n",
        "    received_at timestamptz NOT NULL DEFAULT clock_timestamp()\n",
        "tests/service/delivery/test_delivery_once.py::test_a_message_that_is_appended_twice_is_handled_once",
    ),
    Guard(
        "offset before commit",
        "shared/delivery.py",
        "        try:\n            if isinstance(msg.raw_message, tuple | list):\n",
        "        await _acknowledge(msg, stream)\n"
        "        try:\n            if isinstance(msg.raw_message, tuple | list):\n",
        "tests/service/delivery/test_delivery_once.py::test_kafka_s_offset_moves_only_after_the_commit",
    ),
    Guard(
        "publish before commit",
        "shared/delivery.py",
        "        async with tx.transaction():\n            if retry is None:\n                seen =",
        "        if True:\n            if retry is None:\n                seen =",
        "tests/service/delivery/test_delivery_once.py::test_what_a_handler_said_before_it_failed_is_never_sent",
    ),
    Guard(
        "auto_offset_reset=latest",
        "shared/streams.py",
        '"auto_offset_reset": "earliest"',
        '"auto_offset_reset": "latest"',
        "tests/contract/test_delivery_rules.py"
        "::test_every_subscriber_takes_messages_at_least_once_and_from_the_first",
    ),
    Guard(
        "ACK_FIRST on the router",
        "shared/streams.py",
        '                "ack_policy": AckPolicy.NACK_ON_ERROR,',
        '                "ack_policy": AckPolicy.ACK_FIRST,',
        "tests/contract/test_delivery_rules.py"
        "::test_every_subscriber_takes_messages_at_least_once_and_from_the_first",
    ),
    Guard(
        "no_reply missing",
        "shared/streams.py",
        '                "no_reply": True,\n',
        "",
        "tests/contract/test_delivery_rules.py::test_no_subscriber_ever_answers_a_reply_to_header",
    ),
    Guard(
        "swallowed database error",
        "shared/delivery.py",
        '            await inbox.move_position(tx, stream.consumer, [record])\n            crash("before_commit")',
        "            async with connect(runtime.pool) as another:\n"
        "                await inbox.move_position(another, stream.consumer, [record])\n"
        '            crash("before_commit")',
        "tests/service/delivery/test_delivery_once.py"
        "::test_a_database_error_that_a_handler_swallows_loses_nothing",
    ),
    Guard(
        "missing list check",
        "services/bidding/domain/intake.py",
        "if box is None or box.request is None or not box.lists(arrival.provider_id):",
        "if box is None or box.request is None:",
        "tests/service/bidding/test_bidding_intake.py"
        "::test_an_unlisted_provider_is_answered_like_an_unknown_purchase",
    ),
    Guard(
        "granting without the list check",
        "services/distribution/ledger.py",
        "                AND offer.provider_id = $3\n",
        "",
        "tests/service/distribution/test_distribution_access.py"
        "::test_whoever_was_never_offered_it_is_answered_in_the_same_words_as_for_no_purchase",
    ),
    Guard(
        "qualification checked outside the transaction",
        "services/distribution/ledger.py",
        "            AND held.valid_until > moment.at\n",
        "",
        "tests/service/distribution/test_distribution_lapse.py"
        "::test_a_qualification_that_ends_while_the_opening_waits_keeps_the_gate_shut",
    ),
    Guard(
        "ids not derived",
        "shared/outbox.py",
        "        return derived_id(decision, message.type(), to, ordinal)",
        "        return __import__('uuid').uuid4()",
        "tests/service/delivery/test_delivery_once.py"
        "::test_the_same_decision_has_the_same_id_also_when_inbox_and_log_are_gone",
    ),
    Guard(
        "log not chained",
        "shared/outbox.py",
        'head = entry.head_after(subject["chain"])',
        'head = entry.head_after(b"")',
        "tests/service/delivery/test_delivery_log.py"
        "::test_a_restored_log_is_as_it_was_in_whatever_order_and_new_facts_go_on_from_its_head",
    ),
    Guard(
        "adopted entry chained anew",
        "shared/outbox.py",
        "await self._log(message, adopted.entry, adopted.chain)",
        'await self._log(message, adopted.entry, adopted.entry.head_after(subject["chain"]))',
        "tests/service/delivery/test_delivery_log.py"
        "::test_a_restored_log_is_as_it_was_in_whatever_order_and_new_facts_go_on_from_its_head",
    ),
    Guard(
        "position not written",
        "shared/delivery.py",
        '            await inbox.move_position(tx, stream.consumer, [record])\n            crash("before_commit")',
        '            crash("before_commit")',
        "tests/service/delivery/test_delivery_once.py::test_the_position_is_written_with_what_was_done",
    ),
)


@dataclass(frozen=True)
class Finding:
    """What came of one guard: `outcome` is `bites`, or what is wrong."""

    guard: Guard
    outcome: str
    seconds: float
    said: str = ""


def try_guard(guard: Guard) -> Finding:
    """Run the guard's test on the sound tree's copy, then on the broken one: it must pass, then fail by its own assertion."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="guard-") as folder:
        tree = Path(folder)
        for name in COPIED:
            source = TREE / name
            if source.is_dir():
                shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy2(source, tree / name)
        outcome, said = _outcome(guard, tree)
    return Finding(guard, outcome, time.monotonic() - began, said)


def _outcome(guard: Guard, tree: Path) -> tuple[str, str]:
    file = tree / guard.file
    text = file.read_text()
    if text.count(guard.old) != 1:
        return f"cannot be broken: the text stands {text.count(guard.old)} times in {guard.file}", ""
    sound = _run(guard.test, tree)
    if sound.returncode != 0:
        return "its test fails on the sound code", sound.stdout
    file.write_text(text.replace(guard.old, guard.new))
    broken = _run(guard.test, tree)
    # 1: tests ran and some failed; anything else means that nothing was tested.
    if broken.returncode != 1:
        return f"DOES NOT BITE (pytest ended with {broken.returncode})", broken.stdout
    said = [line for line in broken.stdout.splitlines() if line.startswith("E  ")]
    return "bites", said[0][1:].strip() if said else ""


def _run(test: str, tree: Path) -> "subprocess.CompletedProcess[str]":
    words = ["-q", "-x", "-p", "no:cacheprovider", "--show-capture=no", test]
    # The copy stands before the installed package.
    return subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=tree,
        env=os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )


def main(names: Sequence[str]) -> int:
    """Try the guards and print what came of each."""
    chosen = [guard for guard in GUARDS if not names or guard.name in names]
    if unknown := set(names) - {guard.name for guard in chosen}:
        sys.stderr.write(f"no such guard: {', '.join(sorted(unknown))}\n")
        return 2
    with ThreadPoolExecutor(AT_ONCE) as workers:
        findings = list(workers.map(try_guard, chosen))
    width = max(len(one.guard.name) for one in findings)
    for one in findings:
        sys.stdout.write(
            f"{one.guard.name:<{width}}  {one.seconds:5.1f} s  {one.outcome}  {one.said[:100]}\n"
        )
    wrong = [one for one in findings if one.outcome != "bites"]
    for one in wrong:
        sys.stdout.write(f"\n--- {one.guard.name}\n{one.said[-4000:]}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
