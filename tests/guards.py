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
COPIED = ("services", "shared", "linepool", "deploy", "docs", "tests", "pyproject.toml")
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
        "any message drops what is parked before it",
        "shared/delivery.py",
        "    if record.erases:\n        await drop_parked(",
        "    if record.key:\n        await drop_parked(",
        "tests/service/delivery/test_delivery_parked.py"
        "::test_behind_a_message_that_fails_its_own_key_waits_in_order_and_others_go_on",
    ),
    Guard(
        "who is erased is not locked",
        "services/aggregation/store/people.py",
        "code_assigned_at, code_open, erased_at FROM people WHERE person_id = $1 FOR UPDATE",
        "code_assigned_at, code_open, erased_at FROM people WHERE person_id = $1",
        "tests/service/aggregation/test_aggregation_erasure.py"
        "::test_who_is_named_while_they_are_erased_is_needed_or_refused",
    ),
    Guard(
        "an erased person is named again",
        "services/aggregation/handlers/groups.py",
        "    refusal = refuse_erased(await people.lock_person(tx, contact_id), publish.now)\n",
        "    refusal = None\n",
        "tests/service/aggregation/test_aggregation_erasure.py"
        "::test_nobody_brings_an_erased_person_back_by_naming_them",
    ),
    Guard(
        "replies are counted",
        "shared/batches.py",
        "    runtime.metrics.slowest_answer.note(",
        '    runtime.metrics.handled.labels(consumer=stream.consumer, outcome="handled").inc(len(records))\n'
        "    runtime.metrics.slowest_answer.note(",
        "tests/flow/test_what_operators_see.py"
        "::test_figures_logs_and_traces_are_the_same_however_many_have_replied",
    ),
    Guard(
        "replies are logged",
        "shared/batches.py",
        "    runtime.metrics.slowest_answer.note(",
        '    __import__("structlog").get_logger().info("handled", consumer=stream.consumer)\n'
        "    runtime.metrics.slowest_answer.note(",
        "tests/flow/test_what_operators_see.py"
        "::test_figures_logs_and_traces_are_the_same_however_many_have_replied",
    ),
    Guard(
        "receipts are traced",
        "shared/tracing.py",
        "            if topic.removeprefix(topic_prefix).startswith(PROVIDER_FACING):\n                continue\n",
        "",
        "tests/flow/test_what_operators_see.py"
        "::test_figures_logs_and_traces_are_the_same_however_many_have_replied",
    ),
    Guard(
        "a reply's row is in the outbox's figure",
        "shared/workers.py",
        '"SELECT count(*) FILTER (WHERE NOT EXISTS ("',
        '"SELECT count(*) FILTER (WHERE true OR NOT EXISTS ("',
        "tests/service/bidding/test_bidding_waits.py::test_rows_for_providers_are_not_counted_and_their_age_is_told",
    ),
    Guard(
        "a weak finding qualifies",
        "services/rfp/qualification.py",
        " and _STRENGTH[LEVELS[one.method]] >= _STRENGTH[level]",
        "",
        "tests/unit/rfp/test_rfp_qualification.py::test_a_group_is_qualified_exactly_when_the_policy_is_met",
    ),
    Guard(
        "a finding cites what nobody filed",
        "services/rfp/verifying.py",
        "    if not set(finding.evidence) <= await findings.filed(tx, finding):\n",
        "    if False:\n",
        "tests/service/rfp/test_rfp_levels.py"
        "::test_a_finding_cites_documents_that_were_filed_about_its_party",
    ),
    Guard(
        "an address that nobody confirmed",
        "services/rfp/verifying.py",
        "    if found_address and not await findings.is_address_confirmed(tx, finding):\n",
        "    if False:\n",
        "tests/service/rfp/test_rfp_levels.py::test_an_address_that_nobody_has_confirmed_is_no_level",
    ),
    Guard(
        "a secret overtakes the address that it is for",
        "services/notification/store/mails.py",
        " OR c.version >= due.contact_version)",
        " OR true)",
        "tests/service/notification/test_notification_people.py"
        "::test_a_link_waits_for_the_contact_that_it_was_assigned_with",
    ),
    Guard(
        "an older address takes a newer one's place",
        "services/notification/store/people.py",
        " OR c.version < excluded.version RETURNING true",
        " OR true RETURNING true",
        "tests/service/notification/test_notification_people.py"
        "::test_an_older_contact_that_comes_again_changes_nothing_and_is_no_news",
    ),
    Guard(
        "a code goes where another one belongs",
        "services/notification/domain/mails.py",
        " and meant != reached.version:",
        " and False:",
        "tests/unit/notification/test_notification_personal.py"
        "::test_a_code_goes_to_the_address_that_it_is_for_and_to_no_other",
    ),
    Guard(
        "the minimum is decided before the facts are back",
        "services/aggregation/handlers/minimum.py",
        "    if await _facts_come_again(tx, decided, purchase_id):\n",
        "    if False:\n",
        "tests/service/aggregation/test_aggregation_minimum.py"
        "::test_a_lost_database_does_not_find_a_group_too_small_before_its_buyers_are_back",
    ),
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
        "await self._log(message.stream, message.subject, adopted.entry, adopted.chain)",
        'await self._log(message.stream, message.subject, adopted.entry, adopted.entry.head_after(subject["chain"]))',
        "tests/service/delivery/test_delivery_log.py"
        "::test_a_restored_log_is_as_it_was_in_whatever_order_and_new_facts_go_on_from_its_head",
    ),
    Guard(
        "granting to who is on the list no more",
        "services/distribution/ledger.py",
        "            JOIN listed_providers AS listed USING (purchase_id, request_version, provider_id)\n",
        "",
        "tests/service/distribution/test_distribution_access_list.py"
        "::test_who_was_offered_the_request_and_is_on_its_list_no_more_is_refused",
    ),
    Guard(
        "a record's own place believed",
        "shared/fetched.py",
        "if (count and not records) or not self._are_in_order(records):",
        "if count and not records:",
        "tests/unit/test_fetched_batches.py::test_a_record_that_says_it_stands_elsewhere_moves_nobody_there",
    ),
    Guard(
        "an unreadable batch raises",
        "shared/fetched.py",
        "        except (CorruptRecordException, ValueError, OverflowError, MemoryError):\n",
        "        except MemoryError:\n",
        "tests/unit/test_fetched_batches.py"
        "::test_an_unreadable_record_stands_in_its_place_and_what_follows_is_read",
    ),
    Guard(
        "unpacking without a bound",
        "shared/unpacking.py",
        "member.decompress(packed, UNPACKED_BYTES + 1 - len(unpacked))\n"
        "        if len(unpacked) > UNPACKED_BYTES or not member.eof:",
        "member.decompress(packed)\n        if not member.eof:",
        "tests/unit/test_fetched_batches.py"
        "::test_many_small_streams_that_hold_too_much_together_are_not_unpacked",
    ),
    Guard(
        "a seal bound to nothing",
        "shared/sealing.py",
        'return f"linepool offer {purchase_id} {request_version} {provider_id} {revision}"',
        'return "linepool offer"',
        "tests/service/bidding/test_bidding_seals.py"
        "::test_a_seal_opens_only_for_its_purchase_version_provider_and_revision",
    ),
    Guard(
        "an inner seal bound to nothing",
        "shared/sealing.py",
        'return f"linepool offer for custodian {purchase_id} {request_version} {provider_id} {revision}"',
        'return "linepool offer for custodian"',
        "tests/unit/bidding/test_the_opener_decides.py"
        "::test_an_inner_box_that_somebody_takes_out_and_seals_for_something_else_does_not_open",
    ),
    Guard(
        "a custodian's key taken early",
        "services/bidding/domain/custodian.py",
        "    if now < request.deadline:\n",
        "    if False:\n",
        "tests/service/bidding/test_bidding_custodians.py"
        "::test_a_key_that_comes_before_the_deadline_is_refused_and_kept_nowhere",
    ),
    Guard(
        "a custodian's key sent early",
        "services/portal/domain/orders.py",
        "    if newest(facts, DeadlinePassed) is None:\n",
        "    if False:\n",
        "tests/service/portal/test_custodians.py::test_before_the_deadline_a_key_is_neither_sent_nor_kept",
    ),
    Guard(
        "opening with a key that is not the custodian's",
        "services/bidding/opener/domain.py",
        '        "wrong_custodian_key": not _is_half_of(closing.released_key, closing.custodian_key),\n',
        "",
        "tests/unit/bidding/test_the_opener_decides.py::test_one_thing_against_it_keeps_a_box_shut",
    ),
    Guard(
        "after a restore an erased person's papers come back",
        "services/aggregation/handlers/evidence.py",
        "        await _file_as_before(tx, publish, filing, person)\n        return None\n",
        "        pass\n",
        "tests/service/aggregation/test_aggregation_erasure.py"
        "::test_after_a_restore_no_paper_of_who_was_erased_comes_back_whichever_order_comes_first",
    ),
    Guard(
        "a document is handed out unread",
        "services/portal/api/purchases.py",
        "        async for _ in terms_store.read(db, *about):\n            pass\n",
        "        pass\n",
        "tests/service/portal/test_terms_documents.py"
        "::test_a_document_other_than_announced_is_never_handed_out",
    ),
    Guard(
        "opening without the closing",
        "services/bidding/opener/domain.py",
        '        "not_closed": not (closing.closed and closing.deadline_passed),\n',
        "",
        "tests/unit/bidding/test_the_opener_decides.py::test_one_thing_against_it_keeps_a_box_shut",
    ),
    Guard(
        "opening while messages are on their way",
        "services/bidding/opener/domain.py",
        "closing.positions.get(place, 0) < end or",
        "False or",
        "tests/unit/bidding/test_the_opener_decides.py::test_one_thing_against_it_keeps_a_box_shut",
    ),
    Guard(
        "a receipt not chained to the one before",
        "linepool/receipts/chain.py",
        "sha256(head.hash + sha256(canonical_json(rest)).digest())",
        "sha256(sha256(canonical_json(rest)).digest())",
        "tests/unit/receipts/test_the_documented_example.py::test_our_own_verification_agrees",
    ),
    Guard(
        "the same message answered anew",
        "services/bidding/intake.py",
        "            again[arrival.id] = before\n",
        "            new[arrival.id] = arrival\n",
        "tests/service/bidding/test_bidding_intake.py"
        "::test_the_same_message_again_gets_the_same_receipt_again",
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
