from base64 import b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from linepool.checker.history import Mail
from linepool.checker.judge import check
from linepool.checker.report import Report
from shared.messages.aggregation import CredentialAssigned
from shared.messages.distribution import AnswerPresented, CancellationPresented
from shared.messages.notification import AwardNotified, MailDelivered, MailFailed, UnsuccessfulNotified
from shared.messages.providers import ReplySubmitted
from shared.messages.rfp import QualificationLapsed
from tests.unit.checker.world import (
    BEGIN,
    CHEAP,
    CODE,
    COORDINATOR,
    DEADLINE,
    EVE,
    FIRST,
    HASHER,
    INVITED,
    LINK,
    NEW_ADDRESS,
    PASSWORD,
    PURCHASE,
    SECOND,
    STRANGER,
    World,
    a_purchase,
    named,
    only_offer,
)

Plant = Callable[[World], None]
PLANTS: list[tuple[str, str, Plant, bool]] = []


def plants(invariant: str, finding: str, *, sealed: bool = False) -> Callable[[Plant], Plant]:
    """A function that makes one thing wrong, and what the judge must say about it; `sealed`: where replies are."""

    def register(plant: Plant) -> Plant:
        PLANTS.append((invariant, finding, plant, sealed))
        return plant

    return register


def judged(world: World, *, at_rest: bool = True) -> Report:
    return check(world.history(at_rest=at_rest))


def violated(report: Report) -> set[str]:
    return {verdict.invariant for verdict in report.verdicts if verdict.outcome == "violated"}


@plants("I1", "not on its list")
def a_stranger_is_shown_the_request(world: World) -> None:
    shown = world.find("request-presented")
    world.replace(shown, topic=f"invitations.{STRANGER}")


@plants("I1", "appended before its group was qualified")
def a_request_is_shown_before_the_qualification(world: World) -> None:
    qualified = world.find("group-qualified")
    world.replace(world.find("request-presented"), appended_at=qualified.appended_at - timedelta(seconds=1))


@plants("I1", "another snapshot")
def the_qualification_is_for_another_snapshot(world: World) -> None:
    world.replace(world.find("group-qualified"), body={"snapshot": "c" * 64})
    world.restamp("rfp")


@plants("I1", "no longer valid")
def the_qualification_had_run_out(world: World) -> None:
    world.replace(world.find("group-qualified"), body={"valid_until": "2026-05-01T08:00:10Z"})
    world.restamp("rfp")


@plants("I1", "whose lapse was known")
def the_qualification_had_lapsed(world: World) -> None:
    lapse = world.say("rfp", QualificationLapsed(purchase_id=PURCHASE, number=1, reason="withdrawn"))
    from uuid import NAMESPACE_URL, uuid5  # noqa: PLC0415 # the id by which the inbox knows it

    taken = uuid5(NAMESPACE_URL, f"linepool:inbox/rfp.events/id/{lapse.id}")
    long_before = datetime(2026, 5, 1, tzinfo=UTC)
    world.tables["distribution"]["inbox"].append({"id": taken, "received_at": long_before})


@plants("I1", "which rfp never gave")
def the_qualification_does_not_exist(world: World) -> None:
    world.tables["distribution"]["disclosures"][0]["qualification"] = 7


@plants("I1", "after the deadline")
def the_request_was_shown_after_the_deadline(world: World) -> None:
    world.tables["distribution"]["disclosures"][0]["disclosed_at"] = DEADLINE


@plants("I1", "no row in the disclosure ledger")
def a_presentation_is_not_in_the_ledger(world: World) -> None:
    del world.tables["distribution"]["disclosures"][0]


@plants("I1", "but nothing was presented")
def the_ledger_names_someone_who_was_shown_nothing(world: World) -> None:
    world.replace(world.find("request-presented"), topic=f"invitations.{SECOND}", offset=9)


@plants("I1", "another content hash")
def the_ledger_has_another_content(world: World) -> None:
    world.tables["distribution"]["disclosures"][0]["content_sha256"] = "d" * 64


@plants("I1", "content with another hash")
def other_content_is_shown(world: World) -> None:
    world.replace(world.find("request-presented"), body={"content_json": "{}"})


@plants("I1", "names other documents")
def other_documents_are_named(world: World) -> None:
    world.replace(world.find("request-presented"), body={"documents": []})


@plants("I1", "not what its manifest describes")
def another_document_part_is_shown(world: World) -> None:
    world.replace(world.find("presented-document-part"), body={"data": "AAAA"})


@plants("I1", "of which stranger0001 was shown nothing")
def a_stranger_is_told_of_a_cancellation(world: World) -> None:
    world.say("distribution", CancellationPresented(purchase_id=PURCHASE, reason="no need"), to=STRANGER)


@plants("I1", "was not written by distribution")
def someone_else_writes_an_invitation(world: World) -> None:
    shown = world.find("request-presented")
    headers = tuple(
        (name, b"/linepool/bidding" if name == "ce_source" else value) for name, value in shown.headers
    )
    world.replace(shown, headers=headers)


@plants("I1", "shows more than an offer may: content_json")
def an_offer_shows_the_content(world: World) -> None:
    only_offer(world)
    world.replace(world.find("access-offered"), body={"content_json": "{}"})


@plants("I1", "offers something else")
def an_offer_has_another_deadline(world: World) -> None:
    only_offer(world)
    world.replace(world.find("access-offered"), body={"deadline": "2026-05-09T08:00:00Z"})


@plants("I1", "offers a request that was to be transmitted")
def a_transmitted_request_is_offered(world: World) -> None:
    only_offer(world)
    world.replace(world.find("request-issued"), body={"mode": "transmit"})
    world.restamp("rfp")


@plants("I1", "has no row in the disclosure ledger")
def an_offered_request_is_shown_without_a_grant(world: World) -> None:
    only_offer(world)
    rows = world.tables["distribution"]["disclosures"]
    rows[:] = [row for row in rows if row["kind"] != "granted"]


@plants("I1", "before first0000001 asked for it")
def an_offered_request_is_shown_to_who_did_not_ask(world: World) -> None:
    only_offer(world)
    world.replace(world.find("access-request-received"), body={"provider_id": SECOND})
    world.restamp("bidding")


@plants("I1", "which it was never offered")
def access_is_granted_without_an_offer(world: World) -> None:
    only_offer(world)
    rows = world.tables["distribution"]["disclosures"]
    rows[:] = [row for row in rows if (row["provider_id"], row["kind"]) != (FIRST, "offered")]


@plants("group", "with 0 of 1 coordinator at the level registry_matched")
def a_coordinator_is_found_below_its_level(world: World) -> None:
    # test_checker_groups.py plants the others.
    world.replace(world.find("buyer-verified"), body={"level": "address_confirmed"})


@plants("I8", "2 changes of 9c1f0f52-0000-4000-8000-000000000001, the log 1 access-granted")
def a_grant_was_never_said(world: World) -> None:
    only_offer(world)
    rows = world.tables["distribution"]["disclosures"]
    rows.append({**rows[-1], "provider_id": SECOND, "cause_id": uuid4()})


@plants("I8", "the log 0 access-refused")
def a_refusal_was_never_said(world: World) -> None:
    only_offer(world)
    world.tables["distribution"]["access_requests"].append(
        {
            "request_id": uuid4(),
            "purchase_id": PURCHASE,
            "provider_id": STRANGER,
            "outcome": "unknown_purchase",
            "decided_at": BEGIN,
        }
    )


@plants("I1", "of which stranger0001 was shown nothing")
def a_stranger_is_told_an_answer(world: World) -> None:
    only_offer(world)
    answer = world.find("answer-presented")
    world.say("distribution", AnswerPresented.model_validate(answer.body), to=STRANGER)


@plants("I1", "is not an answer that the coordinator gave")
def another_answer_is_told(world: World) -> None:
    only_offer(world)
    world.replace(world.find("answer-presented"), body={"answer": "Five."})


@plants("I1", "has no row in the ledger of answers")
def an_answer_is_not_in_its_ledger(world: World) -> None:
    only_offer(world)
    del world.tables["distribution"]["answer_disclosures"][0]


@plants("I1", "was answered to second000001 at")
def an_answer_comes_later_to_one(world: World) -> None:
    only_offer(world)
    world.tables["distribution"]["answer_disclosures"][1]["disclosed_at"] += timedelta(seconds=1)


@plants("I1", "and never to second000001")
def an_answer_is_kept_from_one(world: World) -> None:
    only_offer(world)
    del world.tables["distribution"]["answer_disclosures"][1]
    world.records.remove(world.find("answer-presented", f"invitations.{SECOND}"))


@plants("I1", "the ledger of answers names first0000001")
def an_answer_in_the_ledger_was_never_told(world: World) -> None:
    only_offer(world)
    world.replace(world.find("answer-presented"), topic=f"invitations.{SECOND}", offset=9)


def test_a_purchase_that_was_offered_asked_about_and_granted_passes() -> None:
    world = a_purchase()
    only_offer(world)
    report = judged(world)
    assert violated(report) == set()
    later = world.tables["distribution"]["answer_disclosures"]
    later[0]["disclosed_at"] = world.tables["distribution"]["disclosures"][-1]["disclosed_at"]
    assert violated(judged(world)) == set()


@plants("I2", "was lost when its box was opened")
def a_receipted_reply_is_lost(world: World) -> None:
    opened = world.find("replies-opened")
    world.replace(opened, body={"replies": opened.body["replies"][:2]})
    world.restamp("bidding")


@plants("I2", "ended as evaluated and invalid")
def a_reply_ends_twice(world: World) -> None:
    opened = world.find("replies-opened")
    again = {**opened.body["replies"][1], "standing": "invalid"}
    world.replace(opened, body={"replies": [*opened.body["replies"], again]})
    world.restamp("bidding")


@plants("I2", "has no answer")
def a_message_is_never_answered(world: World) -> None:
    world.submit(FIRST, b"{}", "never answered")


@plants("I2", "2 different answers")
def a_message_is_answered_twice(world: World) -> None:
    submitted = world.find("reply-submitted")
    world.receipt(submitted, named(f"reply/{FIRST}/1"), id_=uuid4())


@plants("I2", "which it never sent")
def an_answer_answers_nothing(world: World) -> None:
    submitted = world.find("reply-submitted")
    world.receipt(replace(submitted, value=b"something else"), None)


@plants("I2", "opened 2 times")
def a_box_is_opened_twice(world: World) -> None:
    opened = world.find("replies-opened")
    world.append(
        "bidding.events",
        opened.value,
        [
            (name, str(uuid4()).encode() if name == "ce_id" else value or b"")
            for name, value in opened.headers
        ],
    )


@plants("I2", "after the deadline")
def a_late_reply_is_receipted(world: World) -> None:
    late = world.submit(SECOND, b'{"late":true}', "late")
    world.receipt(late, named("late"))


@plants("I2", "never receipted")
def an_opened_reply_has_no_receipt(world: World) -> None:
    opened = world.find("replies-opened")
    unknown = {**opened.body["replies"][1], "reply_id": str(uuid4()), "standing": "invalid"}
    world.replace(opened, body={"replies": [*opened.body["replies"], unknown]})
    world.restamp("bidding")


@plants("I2", "another append time")
def a_receipt_names_another_time(world: World) -> None:
    world.replace(world.find("receipt-issued"), body={"appended_at": "2026-05-01T07:00:00Z"})


@plants("I2", "does not lead to its head")
def a_receipt_is_edited(world: World) -> None:
    world.replace(world.find("receipt-issued"), body={"reply_id": str(uuid4())})


@plants("I2", "and stands behind answer 0")
def the_first_receipt_of_a_chain_is_gone(world: World) -> None:
    world.records.remove(world.find("receipt-issued", f"notices.{FIRST}"))


@plants("I2", "ends at 2 in its table, and at 1 on its topic")
def the_last_receipt_of_a_chain_is_gone(world: World) -> None:
    world.records.remove(world.find("inclusion-proved", f"notices.{FIRST}"))
    world.records.remove(next(one for one in world.records if one.body.get("chain", {}).get("number") == 2))


@plants("I2", "is answer 1 of its chain, and stands behind answer 1")
def a_chain_is_forked(world: World) -> None:
    world.heads.clear()
    late = world.submit(SECOND, b"{}", "forked")
    world.receipt(late, None)


@plants("I2", "is in no chain, and answers before it are")
def a_receipt_is_in_no_chain(world: World) -> None:
    receipts = [one for one in world.records if one.type == "receipt-issued" and one.provider == FIRST]
    world.replace(receipts[-1], body={"chain": None})


@plants("I2", "says another checkpoint 2 than")
def a_checkpoint_differs_between_providers(world: World) -> None:
    checkpoints = [one for one in world.records if one.type == "checkpoint-published"]
    world.replace(checkpoints[-1], body={"made_at": "2026-05-04T08:00:00Z"})


@plants("I2", "does not lead to the root of checkpoint 1")
def a_proof_has_another_salt(world: World) -> None:
    world.replace(world.find("inclusion-proved"), body={"salt": "0" * 64})


@plants("I2", "is about a chain that is not that of its provider")
def a_proof_is_of_another_provider(world: World) -> None:
    first, second = (world.find("inclusion-proved", f"notices.{one}") for one in (FIRST, SECOND))
    world.replace(first, value=second.value)


@plants("I2", "which its provider was never told")
def a_checkpoint_is_proved_that_was_never_said(world: World) -> None:
    world.records.remove(world.find("checkpoint-published", f"notices.{SECOND}"))


@plants("I3", "evaluates 2 replies")
def two_replies_of_one_provider_are_evaluated(world: World) -> None:
    opened = world.find("replies-opened")
    replies = [{**reply, "standing": "evaluated"} for reply in opened.body["replies"]]
    world.replace(opened, body={"replies": replies})
    world.restamp("bidding")


@plants("I3", "the table of replies has 2 evaluated ones")
def the_table_has_two_evaluated_replies(world: World) -> None:
    world.tables["bidding"]["replies"][0]["standing"] = "evaluated"


@plants("I3", "something else than the first message with its id")
def one_id_says_two_things(world: World) -> None:
    shown = world.find("request-presented")
    world.append(shown.topic, b"{}", [(name, value or b"") for name, value in shown.headers])


@plants("I3", "is a second provider-invited with version")
def one_version_is_said_twice(world: World) -> None:
    invited = world.find("provider-invited")
    world.append(
        invited.topic,
        invited.value,
        [
            (name, str(uuid4()).encode() if name == "ce_id" else value or b"")
            for name, value in invited.headers
        ],
    )


@plants("I3", "repeats, under another id, the award-notified")
def an_award_is_notified_twice(world: World) -> None:
    award = world.find("award-notified")
    world.say("notification", AwardNotified.model_validate(award.body), to=FIRST, id_=uuid4())


@plants("I3", "rows of one cause")
def one_cause_has_two_rows(world: World) -> None:
    disclosures = world.tables["distribution"]["disclosures"]
    disclosures[1]["cause_id"] = disclosures[0]["cause_id"]


@plants("I3", "recorded as delivered 2 times")
def one_mail_is_recorded_twice(world: World) -> None:
    delivered = MailDelivered.model_validate(world.find("mail-delivered").body)
    world.say("notification", delivered, id_=uuid4())


@plants("I3", "nothing says so")
def a_mail_goes_out_unrecorded(world: World) -> None:
    raw = b"Message-ID: <other@linepool.example>\nTo: ada@linepool.example\n\nHello again\n"
    world.mails.append(Mail("2.eml", raw))


@plants("I3", "is not there")
def a_mail_is_recorded_and_never_sent(world: World) -> None:
    world.say(
        "notification",
        MailDelivered(
            purchase_id=PURCHASE, person_id=COORDINATOR, kind="joined", message_id="<never@x.example>"
        ),
    )


@plants("I3", "with different texts")
def one_mail_has_two_texts(world: World) -> None:
    raw = world.mails[0].raw.replace(b"Hello Ada", b"Hello Eve")
    world.mails.append(Mail("2.eml", raw))


@plants("I4", "second standing award")
def a_second_award_stands(world: World) -> None:
    selected = world.find("provider-selected")
    from shared.messages.bidding import ProviderSelected  # noqa: PLC0415 # the one use

    again = {**selected.body, "award": 2, "provider_id": SECOND, "others": []}
    world.say("bidding", ProviderSelected.model_validate(again))


@plants("I4", "has 2 that stand")
def the_table_has_two_standing_awards(world: World) -> None:
    world.tables["bidding"]["awards"].append(
        {**world.tables["bidding"]["awards"][0], "number": 2, "cause_id": uuid4()}
    )


@plants("I4", "which went to")
def the_loser_is_told_of_the_award(world: World) -> None:
    award = AwardNotified.model_validate(world.find("award-notified").body)
    world.say("notification", award, to=SECOND)


@plants("I4", "was never told of award 1")
def the_winner_is_never_told(world: World) -> None:
    world.records.remove(world.find("award-notified"))


@plants("I4", "never told that it was unsuccessful")
def the_loser_is_never_told(world: World) -> None:
    world.records.remove(world.find("unsuccessful-notified"))


@plants("I4", "not among the others")
def the_winner_is_told_that_it_lost(world: World) -> None:
    lost = UnsuccessfulNotified.model_validate(world.find("unsuccessful-notified").body)
    world.say("notification", lost, to=FIRST)


@plants("I4", "that was never given")
def an_award_is_notified_that_was_never_given(world: World) -> None:
    award = AwardNotified.model_validate({**world.find("award-notified").body, "award": 9})
    world.say("notification", award, to=FIRST)


def opener(world: World, table: str) -> list[dict[str, Any]]:
    return world.tables["opener"][table]


def an_open_reply(revision: int) -> bytes:
    """Return a reply whose offer anybody can read."""
    return ReplySubmitted(
        purchase_id=PURCHASE, request_version=1, revision=revision, seal="none", offer=CHEAP
    ).to_bytes()


@plants("I5", "before it was closed", sealed=True)
def a_box_is_opened_before_it_is_closed(world: World) -> None:
    world.tables["bidding"]["boxes"][0]["closed_at"] = DEADLINE + timedelta(seconds=4)


@plants("I5", "before its deadline", sealed=True)
def a_box_is_opened_before_its_deadline(world: World) -> None:
    # Whoever edits bidding's row as well cannot edit what rfp has said.
    early = DEADLINE - timedelta(seconds=1)
    opener(world, "opened_boxes")[0]["opened_at"] = early
    world.tables["bidding"]["boxes"][0]["closed_at"] = early


@plants("I5", "before it was closed", sealed=True)
def a_box_is_opened_that_was_never_closed(world: World) -> None:
    world.tables["bidding"]["boxes"][0] |= {"closed_at": None, "stage": "closing"}


@plants("I5", "before its deadline", sealed=True)
def a_version_is_opened_that_was_never_issued(world: World) -> None:
    opener(world, "opened_boxes")[0]["request_version"] = 2


@plants("I5", "which it never opened", sealed=True)
def a_reply_is_opened_in_a_box_that_is_not(world: World) -> None:
    opener(world, "opened_boxes").clear()


@plants("I5", "says that a sealed box was opened before its deadline", sealed=True)
def an_opening_is_said_before_the_deadline(world: World) -> None:
    opened = world.find("replies-opened")
    headers = tuple(
        (name, b"2026-05-02T08:00:00Z" if name == "ce_time" else value) for name, value in opened.headers
    )
    world.replace(opened, headers=headers)
    world.restamp("bidding")


@plants("I5", "and 1 were opened", sealed=True)
def a_reply_that_stands_is_not_opened(world: World) -> None:
    del opener(world, "openings")[0]


@plants("I5", "which the opener never opened", sealed=True)
def a_reply_is_evaluated_that_was_never_opened(world: World) -> None:
    del opener(world, "openings")[0]
    opener(world, "opened_boxes")[0]["replies"] = 1


@plants("I5", "though it was replaced", sealed=True)
def a_reply_is_opened_that_its_provider_replaced(world: World) -> None:
    openings = opener(world, "openings")
    openings.append({**openings[0], "reply_id": named(f"reply/{FIRST}/1")})
    opener(world, "opened_boxes")[0]["replies"] = 3


@plants("I5", "is in no box", sealed=True)
def a_reply_is_opened_that_was_never_taken(world: World) -> None:
    openings = opener(world, "openings")
    openings[0] = {**openings[0], "reply_id": uuid4()}


@plants("I5", "bidding.replies holds a readable offer", sealed=True)
def a_reply_is_kept_in_plain_text(world: World) -> None:
    world.tables["bidding"]["replies"][0]["body"] = an_open_reply(1)


@plants("I5", "bidding.held_messages holds a readable offer", sealed=True)
def a_message_is_held_in_plain_text(world: World) -> None:
    world.tables["bidding"]["held_messages"].append({"purchase_id": PURCHASE, "body": an_open_reply(1)})


@plants("I5", "and has a receipt", sealed=True)
def a_reply_is_taken_though_it_is_not_sealed(world: World) -> None:
    submitted = world.submit(SECOND, an_open_reply(2), "in the open")
    world.receipt(submitted, named(f"reply/{SECOND}/2"))


@plants("I5", "holds a readable offer for the sealed box", sealed=True)
def an_offer_is_said_again_by_a_service(world: World) -> None:
    world.append("bidding.events", an_open_reply(1), [("ce_subject", str(PURCHASE).encode())])


@plants("I6", "stands in the record")
def a_record_has_the_password(world: World) -> None:
    world.append("portal.events", f'{{"note":"{PASSWORD}"}}'.encode(), [])


@plants("I6", "stands in the record")
def a_header_has_the_password_in_lower_case(world: World) -> None:
    world.append("portal.events", b"{}", [("note", PASSWORD.lower().encode())])


@plants("I6", "stands in aggregation.credentials.note")
def a_table_has_the_password_in_base64(world: World) -> None:
    world.tables["aggregation"]["credentials"][0]["note"] = b64encode(f"x{PASSWORD}yz".encode()).decode()


@plants("I6", "stands in notification.mails.letter")
def a_table_has_the_password_in_bytes(world: World) -> None:
    world.tables["notification"]["mails"] = [
        {"letter": b"..." + PASSWORD.encode(), "delivered_at": DEADLINE, "failed_at": None}
    ]


@plants("I6", "stands in the log file")
def a_log_file_has_the_password_in_hex(world: World) -> None:
    world.logs["notification.log"] = b"sealed " + PASSWORD.encode().hex().encode() + b"\n"


@plants("I6", "stands in 2 mails")
def two_mails_have_the_password(world: World) -> None:
    raw = world.mails[0].raw.replace(b"<initial@", b"<again@")
    world.mails.append(Mail("2.eml", raw))
    world.say(
        "notification",
        MailDelivered(
            purchase_id=PURCHASE,
            person_id=COORDINATOR,
            kind="initial_password",
            message_id="<again@linepool.example>",
        ),
    )


@plants("I6", "the link that fits aggregation.credentials/0@1 stands in the record")
def a_record_has_the_secret_of_a_link(world: World) -> None:
    world.append("portal.events", f'{{"note":"https://x.example/join/{LINK}"}}'.encode(), [])


@plants("I6", "the code that fits aggregation.credentials/0@2 stands in portal.orders.body")
def a_table_has_a_code(world: World) -> None:
    world.tables["portal"]["orders"] = [{"body": f'{{"code": "{CODE}"}}'}]


@plants("I6", "the link that fits aggregation.credentials/0@1 stands in 2 mails")
def two_mails_have_a_link(world: World) -> None:
    world.mail(INVITED, EVE, "reminder", f"here it is again: {LINK}")


@plants("I6", "no mail has the link")
def a_link_is_never_mailed(world: World) -> None:
    world.mails[:] = [one for one in world.mails if LINK not in one.text]


@plants("I6", "no mail has the code")
def a_code_is_never_mailed(world: World) -> None:
    world.mails[:] = [one for one in world.mails if CODE not in one.text]


@plants("I6", "the link that fits aggregation.credentials/0@1 went astray")
def a_link_goes_to_somebody_else(world: World) -> None:
    world.mails[:] = [
        Mail(one.name, one.raw.replace(EVE.encode(), b"eva@other.example")) for one in world.mails
    ]


@plants("I6", "the code that fits aggregation.credentials/0@2 went astray")
def a_code_goes_to_the_address_that_counts_already(world: World) -> None:
    old = b"ada@linepool.example"
    world.mails[:] = [Mail(one.name, one.raw.replace(NEW_ADDRESS.encode(), old)) for one in world.mails]


@plants("I6", "no mail has the password")
def a_verifier_fits_no_mail(world: World) -> None:
    assigned = CredentialAssigned.model_validate(world.find("credential-assigned").body)
    other = assigned.model_copy(update={"number": 2, "verifier": HASHER.hash("another")})
    world.say("aggregation", other)


@plants("I7", "after 2")
def a_version_is_missing(world: World) -> None:
    gone = [record for record in world.records if record.topic == "distribution.events"][2]
    world.records.remove(gone)
    world.say("distribution", CancellationPresented(purchase_id=PURCHASE, reason="no need"), to=FIRST)
    last = CancellationPresented(purchase_id=PURCHASE, reason="none")
    headers = [
        (name, b"4" if name == "ce_sequence" else str(uuid4()).encode() if name == "ce_id" else value or b"")
        for name, value in gone.headers
    ]
    world.append("distribution.events", last.to_bytes(), headers)


@plants("I7", "lacks version 1 of /linepool/distribution")
def a_provider_lacks_a_message(world: World) -> None:
    world.say("distribution", CancellationPresented(purchase_id=PURCHASE, reason="no need"), to=FIRST)
    topic = f"invitations.{FIRST}"
    world.records.remove(next(record for record in world.records if record.topic == topic))


@plants("I7", "has no version")
def an_event_has_no_version(world: World) -> None:
    record = world.find("provider-invited")
    world.replace(record, headers=tuple(one for one in record.headers if one[0] != "ce_sequence"))


@plants("I7", "more than one partition")
def a_subject_is_on_two_partitions(world: World) -> None:
    world.replace(world.find("request-distributed"), partition=1, offset=0)


@plants("I8", "has no entry in the log")
def an_event_is_not_in_the_log(world: World) -> None:
    world.say("rfp", QualificationLapsed(purchase_id=PURCHASE, number=9, reason="none"), log=False)


@plants("I8", "not what the log of rfp says")
def an_event_differs_from_its_log(world: World) -> None:
    world.replace(world.find("deadline-passed"), body={"request_version": 2})


@plants("I8", "was edited at or before version 1")
def a_log_entry_is_edited(world: World) -> None:
    world.tables["rfp"]["log"][0]["cause_id"] = uuid4()


@plants("I8", "was edited")
def a_log_entry_is_removed(world: World) -> None:
    issued = world.find("request-issued")
    rows = world.tables["rfp"]["log"]
    world.tables["rfp"]["log"] = [row for row in rows if str(row["event_id"]) != issued.id]


@plants("I8", "has another head than the log of rfp")
def an_event_carries_another_head(world: World) -> None:
    record = world.find("request-issued")
    headers = [(name, b"0" * 64 if name == "ce_loghead" else value) for name, value in record.headers]
    world.records[world.records.index(record)] = replace(record, headers=tuple(headers))


@plants("I8", "is not what the log of rfp says")
def an_event_names_another_person(world: World) -> None:
    record = world.find("request-issued")
    headers = (*record.headers, ("ce_actorid", str(uuid4()).encode()))
    world.records[world.records.index(record)] = replace(record, headers=headers)


@plants("I8", "is not on aggregation.credentials")
def an_entry_of_a_compacted_topic_was_never_said(world: World) -> None:
    world.records.remove(world.find("credential-assigned"))


@plants("I8", "entries are missing")
def the_last_log_entry_is_removed(world: World) -> None:
    last = world.tables["rfp"]["log"].pop()
    world.tables["rfp"]["subjects"] = [
        {"stream": last["stream"], "subject": last["subject"], "version": 3, "chain": last["chain"]}
    ]


@plants("I8", "is not on rfp.events")
def a_logged_event_was_never_sent(world: World) -> None:
    world.records.remove(world.find("deadline-passed"))


@plants("I8", "distribution.disclosures has 3 changes")
def a_change_was_never_said(world: World) -> None:
    disclosures = world.tables["distribution"]["disclosures"]
    disclosures.append({**disclosures[0], "provider_id": STRANGER, "cause_id": uuid4()})


@plants("I9", "outbox holds 1 rows")
def a_message_is_not_sent(world: World) -> None:
    world.tables["rfp"]["outbox"].append({"id": 1, "topic": "rfp.events"})


@plants("I9", "parked holds 1 rows")
def a_message_is_parked(world: World) -> None:
    world.tables["bidding"]["parked"].append({"topic": "rfp.events", "key": b"x"})


@plants("I9", "held_messages holds 1 rows")
def a_message_is_held(world: World) -> None:
    world.tables["bidding"]["held_messages"] = [{"purchase_id": PURCHASE, "body": b"{}"}]


@plants("I9", "timers overdue")
def a_timer_never_fires(world: World) -> None:
    world.tables["rfp"]["timers"] = [{"kind": "deadline", "subject": "x", "due_at": DEADLINE}]


@plants("I9", "boxes to close or compare")
def a_box_is_never_compared(world: World) -> None:
    world.tables["bidding"]["boxes"][0]["stage"] = "opened"


@plants("I9", "mails to deliver")
def a_mail_waits(world: World) -> None:
    world.tables["notification"]["mails"] = [{"delivered_at": None, "failed_at": None}]


@plants("I10", "nothing is left to answer it")
def a_providers_message_is_passed_over(world: World) -> None:
    world.submit(SECOND, b"{}", "passed over")


@plants("I10", "behind the key of another")
def a_message_waits_behind_another_providers(world: World) -> None:
    parked = {"topic": f"replies.{FIRST}", "key": f"replies.{SECOND}".encode()}
    world.tables["bidding"]["parked"].append(parked)


@plants("I10", "of another provider came much later and has one")
def a_message_waits_while_others_are_answered(world: World) -> None:
    waiting = world.submit(SECOND, b"{}", "waiting")
    world.replace(waiting, value=waiting.value, appended_at=BEGIN - timedelta(minutes=2))


@plants("money", "costs 559.96, it costs 558.96")
def a_total_is_wrong(world: World) -> None:
    compared = world.find("replies-compared")
    first, second = compared.body["replies"]
    world.replace(compared, body={"replies": [{**first, "total": "559.96"}, second]})
    world.restamp("bidding")


@plants("money", "it saves 254.52")
def a_saving_is_wrong(world: World) -> None:
    compared = world.find("replies-compared")
    first, second = compared.body["replies"]
    world.replace(compared, body={"replies": [{**first, "saving": "0.00"}, second]})
    world.restamp("bidding")


@plants("money", "the lines say 813.48")
def the_charged_amount_is_wrong(world: World) -> None:
    world.replace(world.find("replies-compared"), body={"charged": "813.49"})
    world.restamp("bidding")


@plants("money", "does not rank its replies")
def the_ranks_are_wrong(world: World) -> None:
    compared = world.find("replies-compared")
    first, second = compared.body["replies"]
    world.replace(compared, body={"replies": [{**second, "rank": 1}, {**first, "rank": 2}]})
    world.restamp("bidding")


@plants("money", "not on bidding.comparisons")
def the_full_comparison_is_another(world: World) -> None:
    world.replace(world.find("comparison-part"), body={"data": "AAAA"})
    world.restamp("bidding")


@plants("money", "on no replies topic")
def a_reply_is_invented(world: World) -> None:
    compared = world.find("replies-compared")
    first, second = compared.body["replies"]
    world.replace(compared, body={"replies": [first, {**second, "reply_id": str(uuid4())}]})
    world.restamp("bidding")


def test_a_clean_history_passes_and_everything_in_it_was_looked_at() -> None:
    report = judged(a_purchase())

    assert report.ok, str(report)
    assert [one.invariant for one in report.verdicts if one.outcome == "cannot check yet"] == ["I5"]
    assert all(one.looked_at for one in report.verdicts if one.invariant != "I5")


def test_a_sealed_purchase_passes_and_whether_it_was_opened_early_was_looked_at() -> None:
    report = judged(a_purchase(sealed=True))

    assert report.ok, str(report)
    assert {one.outcome for one in report.verdicts} == {"ok"}
    assert all(one.looked_at for one in report.verdicts)


def test_every_invariant_that_can_be_checked_has_a_planted_violation() -> None:
    assert {invariant for invariant, *_ in PLANTS} == {one.invariant for one in judged(a_purchase()).verdicts}


@pytest.mark.parametrize(
    ("invariant", "finding", "plant", "sealed"), PLANTS, ids=[plant.__name__ for _, _, plant, _ in PLANTS]
)
def test_a_planted_violation_is_found(invariant: str, finding: str, plant: Plant, sealed: bool) -> None:
    world = a_purchase(sealed=sealed)
    plant(world)

    verdict = judged(world).of(invariant)

    assert verdict.outcome == "violated", str(verdict)
    assert any(finding in one for one in verdict.findings), str(verdict)


def test_messages_under_way_are_not_held_against_a_stack_that_is_not_at_rest() -> None:
    world = a_purchase()
    world.submit(FIRST, b"{}", "just sent")

    report = judged(world, at_rest=False)

    assert violated(report) == {"I9"}
    assert report.of("I2").outcome == "cannot check yet"


def test_a_consumer_that_lags_is_found_by_name() -> None:
    findings = judged(a_purchase(), at_rest=False).of("I9").findings

    assert "distribution.rfp.events is at 0 of 6 on rfp.events/0" in findings


def test_without_the_mails_a_password_cannot_be_checked() -> None:
    world = a_purchase()
    history = world.history()

    assert check(replace(history, mails=None)).of("I6").outcome == "cannot check yet"


def test_a_secret_whose_mail_was_given_up_needs_none() -> None:
    world = a_purchase()
    a_verifier_fits_no_mail(world)
    failed = MailFailed(
        purchase_id=PURCHASE,
        person_id=COORDINATOR,
        kind="initial_password",
        message_id="<void@linepool.example>",
        reason="superseded",
    )
    world.say("notification", failed)

    assert judged(world).of("I6").outcome == "ok"


def test_the_same_bytes_sent_and_answered_again_are_one_message() -> None:
    world = a_purchase()
    submitted, receipt = world.find("reply-submitted"), world.find("receipt-issued")
    world.submit(FIRST, submitted.value or b"", submitted.id)
    world.append(receipt.topic, receipt.value, [(name, value or b"") for name, value in receipt.headers])

    assert judged(world).ok, str(judged(world))


def test_a_record_delivered_twice_by_the_relay_counts_once() -> None:
    world = a_purchase()
    for record in list(world.records):
        if not record.topic.startswith("replies."):
            world.append(record.topic, record.value, [(name, value or b"") for name, value in record.headers])

    report = judged(world)

    assert report.ok, str(report)
