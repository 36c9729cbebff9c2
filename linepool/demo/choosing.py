"""Part 4, second half: the group selects, everyone is told, the winner's terms are accepted."""

import asyncio
from hashlib import sha256

from linepool.demo.comparing import Compared, Evaluation
from linepool.demo.stage import Stage
from linepool.demo.waiting import PATIENCE
from linepool.provider import Provider
from shared.messages.bidding import ProviderSelected, ReceiptIssued, TermsAccepted, TermsPresented
from shared.messages.notification import AcceptanceNotified, AwardNotified, UnsuccessfulNotified

REASON = "Another reply costs the group less over the term."
TERMS_TITLE = "Invented terms and conditions"
TERMS = (
    "These terms are invented for a demonstration.\n"
    "1. Each member is billed as it prefers.\n"
    "2. Prices hold for the whole term.\n"
)


async def choose(stage: Stage, compared: Compared) -> TermsAccepted:
    """Tell the selection, the notices, the terms and their acceptance."""
    best = compared.comparison.evaluations[0]
    selected = await _select(stage, compared, best)
    winner = stage.providers[selected.provider_id]
    await _everyone_is_told(stage, selected)
    presented = await _terms(stage, winner, selected.award)
    accepted = await _accept(stage, winner, presented)
    stage.tell.doing("")
    return accepted


async def answer_award(provider: Provider, award: AwardNotified) -> str:
    """What a demonstration's provider does with an award: it proposes its terms. Returns the message's id."""
    return await provider.propose_terms(award.purchase_id, award=award.award, title=TERMS_TITLE, text=TERMS)


async def _select(stage: Stage, compared: Compared, best: Evaluation) -> ProviderSelected:
    tell, purchase_id = stage.tell, stage.purchase_id
    tell.doing("the group selects")
    choice = {"reply_id": str(best.reply_id), "reason_for_others": REASON}
    await stage.people.coordinator.order(purchase_id, "select-reply", choice)
    selected = await stage.watcher.journal.wait_for(
        lambda entry: entry.says(ProviderSelected, purchase_id), within=PATIENCE, what="the selection"
    )
    tell.step(
        "The coordinator selects",
        f"Award {selected.award} goes to {stage.roles.names[selected.provider_id]}: {best.tariff_name}.",
    )
    tell.claim(
        "the selected reply is the one of rank 1",
        holds=selected.provider_id == compared.comparison.provider_of(best.reply_id),
    )
    return selected


async def _everyone_is_told(stage: Stage, selected: ProviderSelected) -> None:
    purchase_id, tell = stage.purchase_id, stage.tell
    tell.doing("winner and others are told")
    award = await stage.providers[selected.provider_id].award(purchase_id, within=PATIENCE)
    others = {one.provider_id: one for one in selected.others}
    told = await asyncio.gather(
        *(
            stage.providers[pid].journal.wait_for(
                lambda entry: entry.says(UnsuccessfulNotified, purchase_id), within=PATIENCE, what="a notice"
            )
            for pid in others
        )
    )
    tell.claim(
        f"the winner is told who its {len(award.buyers)} buyers are",
        holds={one.legal_name for one in award.buyers}
        == {member.legal_name for member in stage.scenario.group.members},
    )
    ranks = ", ".join(str(one.rank) for one in told)
    tell.claim(
        f"every other bidder is told its own rank ({ranks or 'there is none'}) and the reason",
        holds=all(
            (one.rank, one.reason) == (others[pid].rank, REASON)
            for pid, one in zip(others, told, strict=True)
        ),
    )
    silent = [pid for pid in stage.roles.everyone if pid not in {*others, selected.provider_id}]
    tell.claim(
        "nobody else is told of the outcome",
        holds=not any(
            stage.providers[pid].journal.all_of(kind)
            for pid in silent
            for kind in (AwardNotified, UnsuccessfulNotified)
        ),
    )


async def _terms(stage: Stage, winner: Provider, award: int) -> TermsPresented:
    purchase_id, tell = stage.purchase_id, stage.tell
    notified = await winner.award(purchase_id, within=PATIENCE)
    answer = await winner.answer(await answer_award(winner, notified), within=PATIENCE)
    presented = await stage.watcher.journal.wait_for(
        lambda entry: entry.says(TermsPresented, purchase_id), within=PATIENCE, what="the terms"
    )
    tell.step(
        "The winner's terms are presented",
        f"They arrived on replies.{winner.provider_id}: {presented.title!r}, SHA-256 {presented.terms_sha256}.",
    )
    tell.claim(
        "the terms have a receipt, and their hash is that of the text",
        holds=isinstance(answer, ReceiptIssued)
        and presented.award == award
        and presented.terms_sha256 == sha256(presented.text.encode()).hexdigest(),
    )
    return presented


async def _accept(stage: Stage, winner: Provider, presented: TermsPresented) -> TermsAccepted:
    tell, purchase_id, coordinator = stage.tell, stage.purchase_id, stage.people.coordinator
    shown = await coordinator.get(f"/purchases/{purchase_id}/terms")
    tell.claim(
        "the portal shows the coordinator exactly these terms",
        holds=(shown["text"], shown["terms_sha256"]) == (presented.text, presented.terms_sha256),
    )
    cited = {"award": shown["award"], "terms_sha256": shown["terms_sha256"]}
    await coordinator.order(purchase_id, "accept-terms", cited)
    accepted = await stage.watcher.journal.wait_for(
        lambda entry: entry.says(TermsAccepted, purchase_id), within=PATIENCE, what="the accepted terms"
    )
    notified = await winner.journal.wait_for(
        lambda entry: entry.says(AcceptanceNotified, purchase_id), within=PATIENCE, what="the acceptance"
    )
    tell.step("The terms are accepted", "The purchase is complete, and the winner knows.")
    tell.claim(
        "accepted were exactly the presented terms",
        holds=accepted.terms_sha256 == presented.terms_sha256 == notified.terms_sha256,
    )
    return accepted
