"""Peppol's rules for tenders (profiles P003 submission, P006 questions, withdrawal), each on one whole sealed purchase.

The ids are those of OpenPEPPOL's Pre-award BIS; what each asks stands here in our own words. docs/rules.md is the table.
"""

from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import pytest

from shared.messages.bidding import RepliesOpened
from shared.messages.distribution import AnswerPresented
from shared.messages.providers import ReplySubmitted, ReplyWithdrawn
from shared.sealing import box_key_purpose, offer_info, open_sealed, private_key
from shared.signing import RECEIPTS, is_signed, seal_key_statement, signing_key, verifying_key_b64
from tests.integration.system import PROVIDERS, UNLISTED
from tests.integration.tender import AIKO, BRIO, CORA, Tender

REPLIES = {"reply": AIKO, "second reply": BRIO, "sealed reply": CORA}
"""Those that stand in the end, and whose they are."""


def replied(tender: Tender, what: str) -> UUID:
    """Return the id that a reply's receipt names."""
    reply_id = tender.receipt(what).reply_id
    assert reply_id
    return reply_id


def later_by_a_millisecond(answer: dict[str, Any]) -> None:
    at = datetime.fromisoformat(answer["appended_at"]) + timedelta(milliseconds=1)
    answer["appended_at"] = at.isoformat().replace("+00:00", "Z")


def other_bytes(answer: dict[str, Any]) -> None:
    answer["sha256"] = sha256(b"what the provider never sent").hexdigest()


def other_message(answer: dict[str, Any]) -> None:
    answer["message_id"] = "another"


def other_reply(answer: dict[str, Any]) -> None:
    answer["reply_id"] = str(UUID(int=1))


def test_br54_004_every_tender_is_encrypted_when_it_is_submitted(tender: Tender) -> None:
    """Peppol br54-004: a tender is encrypted on submission, with a key that the contracting body has provided."""
    for provider_id, invitation in tender.invitations.items():
        assert invitation.seal == "hpke", provider_id
        assert invitation.public_key
        assert invitation.key_signature
        said = seal_key_statement(invitation.purchase_id, 1, invitation.public_key)
        assert is_signed(tender.seal_key, said, invitation.key_signature)
    assert tender.refused("careless reply") == "not_sealed"
    for what, provider_id in REPLIES.items():
        sent = tender.entry(what).says(ReplySubmitted)
        assert sent
        assert sent.offer is None
        assert sent.sealed_offer
        # Of all secrets there are, the opener's alone opens it.
        info, purpose = (
            offer_info(sent.purchase_id, 1, provider_id, sent.revision),
            box_key_purpose(sent.purchase_id, 1),
        )
        for who, secret in tender.system.stack.secrets.items():
            key = private_key(bytes.fromhex(secret), purpose)
            if who == "opener":
                assert tender.canaries[provider_id].encode() in open_sealed(key, sent.sealed_offer, info)
            else:
                with pytest.raises(ValueError, match="does not open"):
                    open_sealed(key, sent.sealed_offer, info)
    # What was sent in the clear stands on its sender's own topic and nowhere else, and is never opened or compared.
    assert tender.after
    careless = [hit.source for hit in tender.after.found.hits if hit.canary == tender.canaries["careless"]]
    assert set(careless) == {f"topic replies.{CORA}"}
    assert {one.revision for one in tender.one(RepliesOpened).replies if one.provider_id == CORA} == {2}


def test_br54_006_a_receipt_carries_a_time_that_nobody_can_change(tender: Tender) -> None:
    """Peppol br54-006: the receipt of a tender carries a time stamp that is protected by cryptography."""
    for what, provider_id in REPLIES.items():
        assert tender.receipt(what).appended_at == tender.entry(what).appended_at
        assert tender.verified(provider_id, what).ok
        by_a_moment = tender.verified(provider_id, what, change=later_by_a_millisecond)
        assert not by_a_moment.ok


def test_br54_007_who_sent_a_tender_holds_a_receipt_that_cannot_be_denied(tender: Tender) -> None:
    """Peppol br54-007: the sender gets a receipt that the receiver cannot repudiate, for exactly what was sent."""
    another = verifying_key_b64(signing_key(b"\1" * 32, RECEIPTS))
    for what, provider_id in REPLIES.items():
        sent, found = tender.entry(what), tender.verified(provider_id, what)
        assert tender.receipt(what).sha256 == sha256(sent.body or b"").hexdigest()
        assert found.ok
        assert found.receipt == "proved"
        assert found.receipt_proved_by is not None
        assert not tender.verified(provider_id, what, key=another).ok
        for change in (other_bytes, other_message, other_reply):
            assert not tender.verified(provider_id, what, change=change).ok, change.__name__


def test_br54_010_no_tender_can_be_read_before_the_time_limit(tender: Tender) -> None:
    """Peppol br54-010: tenders are not accessible to anybody before the time limit has passed."""
    before, after = tender.before, tender.after
    assert before
    assert after
    assert before.at < tender.deadline < after.at
    # Only bidding gets the sealed bytes. The opener runs, and has opened nothing; no record and no row says what is in them.
    assert before.readers == {"bidding"}
    assert before.boxes_opened == 0
    assert not before.found.found & set(tender.secrets)
    assert before.found.opaque == []
    assert before.found.bytes_searched > 100_000
    # The search would have found it: what was in the clear then, and all of them once the box was opened.
    assert before.found.found == {tender.canaries["careless"]}
    assert after.boxes_opened == 1
    assert after.found.found >= set(tender.secrets)


def test_br53_003_a_withdrawal_gets_a_receipt_with_its_time(tender: Tender) -> None:
    """Peppol br53-003: who withdraws a tender is sent a receipt with a time stamp."""
    receipt = tender.receipt("withdrawal")
    assert receipt.message_type == ReplyWithdrawn.type()
    assert receipt.appended_at == tender.entry("withdrawal").appended_at < tender.deadline
    found = tender.verified(BRIO, "withdrawal")
    assert (found.ok, found.receipt) == (True, "proved")
    assert not tender.verified(BRIO, "withdrawal", change=later_by_a_millisecond).ok


def test_br53_005_no_tender_is_withdrawn_after_the_time_limit(tender: Tender) -> None:
    """Peppol br53-005: after the time limit no tender can be withdrawn."""
    assert tender.entry("late withdrawal").appended_at >= tender.deadline
    assert tender.refused("late withdrawal") == "late"
    standing = {one.reply_id: one.standing for one in tender.one(RepliesOpened).replies}
    assert standing[replied(tender, "second reply")] == "evaluated"


def test_br53_007_a_withdrawal_names_the_receipt_of_what_it_withdraws(tender: Tender) -> None:
    """Peppol br53-007: a withdrawal refers to the receipt of the tender that is withdrawn."""
    named = tender.entry("withdrawal").says(ReplyWithdrawn)
    assert named
    assert named.reply_id == replied(tender, "first reply")
    assert tender.refused("withdrawal without receipt") == "no_such_reply"
    # It takes back what it names, and nothing else.
    standing = {one.reply_id: one.standing for one in tender.one(RepliesOpened).replies}
    assert standing.get(replied(tender, "first reply")) in {None, "withdrawn", "replaced"}
    assert {standing[replied(tender, what)] for what in REPLIES} == {"evaluated"}


def test_br48_003_every_answer_goes_to_all_who_take_part_at_the_same_time(tender: Tender) -> None:
    """Peppol br48-003: the answer to a question goes to all who have joined the procedure, at the same time."""
    presented = [
        entry
        for entry in tender.system.journal.entries
        if entry.says(AnswerPresented, tender.purchase.purchase_id)
    ]
    assert sorted(entry.topic for entry in presented) == sorted(f"invitations.{one}" for one in PROVIDERS)
    assert f"invitations.{UNLISTED}" not in {entry.topic for entry in presented}
    # One decision at one moment, in one transaction; the same words to all, the one who asked included.
    assert len({entry.body for entry in presented}) == 1
    assert len({entry.envelope.time for entry in presented}) == 1
    assert len({entry.envelope.correlation_id for entry in presented}) == 1
    assert all(CORA.encode() not in (entry.body or b"") for entry in presented)
