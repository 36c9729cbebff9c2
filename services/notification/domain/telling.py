"""Who is told what about a fact, and what must be known before it can be told."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from services.notification import letters
from services.notification.domain.comparison import ComparedBuyer, ComparedReply
from services.notification.domain.known import Buyer, Fact, Known
from services.notification.domain.mails import Mail, mail
from services.notification.domain.participation import participants
from services.notification.letters import Letter
from shared.envelope import derived_id
from shared.messages.aggregation import GroupDissolved, MinimumMissed
from shared.messages.base import ProviderId
from shared.messages.bidding import (
    Notice,
    ProviderSelected,
    QuestionReceived,
    RepliesCompared,
    RepliesOpened,
    TermsAccepted,
    TermsPresented,
    TermsRejected,
)
from shared.messages.distribution import AccessRefused, RequestDistributed
from shared.messages.notification import (
    AcceptanceNotified,
    AccessRefusalNotified,
    AwardedBuyer,
    AwardNotified,
    RejectionNotified,
    UnsuccessfulNotified,
)
from shared.messages.rfp import (
    DeadlinePassed,
    GroupNotQualified,
    GroupQualified,
    QualificationLapsed,
    RequestCancelled,
)


@dataclass(frozen=True)
class Told:
    """What is said about one fact: notices by provider, and mails."""

    notices: tuple[tuple[ProviderId, Notice], ...] = ()
    mails: tuple[Mail, ...] = ()


def notice_of_refusal(event: AccessRefused) -> AccessRefusalNotified:
    """Return what a provider is told that asked for a request and was not shown it."""
    return AccessRefusalNotified(
        purchase_id=event.purchase_id,
        message_id=event.message_id,
        request_version=event.request_version,
        reason=event.reason,
        detail=event.detail,
    )


def in_order_of_telling(facts: Iterable[Fact]) -> list[Fact]:
    """Return the facts with awards first: nobody hears of an acceptance before hearing of the award."""
    return sorted(facts, key=lambda fact: not isinstance(fact.message, ProviderSelected))


def tell(fact: Fact, known: Known) -> Told | None:  # noqa: C901, PLR0911, PLR0912 # one case for each fact
    """Return what is said about a fact, or None while something that it takes has not arrived."""
    if isinstance(fact.message, MinimumMissed | GroupDissolved):
        return _before_closing(fact, known)
    members, coordinator = known.members, known.coordinator_id
    if members is None or coordinator is None:
        return None
    everyone = [coordinator, *(buyer.contact_id for buyer in members)]
    match fact.message:
        case GroupQualified() as event:
            return _mails(fact, known, everyone, letters.Verified(valid_until=event.valid_until))
        case GroupNotQualified() as event:
            return _not_verified(fact, event, known, members)
        case QualificationLapsed() as event:
            return _mails(fact, known, [coordinator], letters.Lapsed(reason=event.reason))
        case DeadlinePassed() as event:
            request = known.request(event.request_version)
            if request is None:
                return None
            if request.custodian is None:
                return Told()
            return _mails(fact, known, [coordinator], letters.KeyAwaited(custodian=request.custodian))
        case RequestDistributed() as event:
            request = known.request(event.request_version)
            if request is None:
                return None
            letter = letters.ProvidersInvited(
                title=request.title, invited=event.invited, deadline=request.deadline
            )
            return _mails(fact, known, everyone, letter)
        case QuestionReceived() as event:
            question = letters.QuestionWaits(question_id=event.question_id, question=event.question)
            return _mails(fact, known, [coordinator], question)
        case RequestCancelled() as event:
            return _mails(fact, known, everyone, letters.Cancelled(reason=event.reason))
        case RepliesOpened() as event:
            if any(reply.standing == "evaluated" for reply in event.replies):
                return Told()
            return _no_replies(known, everyone, event.request_version)
        case RepliesCompared() as event:
            if not event.replies:
                return _no_replies(known, everyone, event.request_version)
            return _compared(fact, event, known, members)
        case ProviderSelected() as event:
            return _selected(event, members)
        case TermsPresented() as event:
            letter_to_coordinator = letters.TermsToAccept(
                provider_id=event.provider_id,
                title=event.title,
                terms_sha256=event.terms_sha256,
                document=event.document,
            )
            return _mails(fact, known, [coordinator], letter_to_coordinator)
        case TermsAccepted() as event:
            return _accepted(fact, event, known, everyone)
        case TermsRejected() as event:
            return _rejected(fact, event, known, everyone)
        case _:
            raise TypeError(f"nobody is told about {fact.message.type()}")


def _before_closing(fact: Fact, known: Known) -> Told | None:
    # The group's own facts come in their order: who is a member now was one when this was said.
    coordinator = known.coordinator_id
    if coordinator is None:
        return None
    everyone = [coordinator, *(buyer.contact_id for buyer in known.present)]
    match fact.message:
        case GroupDissolved() as event:
            return _mails(fact, known, everyone, letters.Dissolved(reason=event.reason))
        case MinimumMissed(otherwise="coordinator_decides") as event:
            size = {"buyers": event.buyers, "lines": event.lines, "needed": known.needed}
            return Told(
                mails=tuple(
                    mail(
                        fact.cause_id,
                        known.purchase_id,
                        person,
                        letters.MinimumMissed(**size, decides=person == coordinator),
                    )
                    for person in dict.fromkeys(everyone)
                )
            )
        case _:
            # The group is given up at the same moment, and that is told.
            return Told()


def _not_verified(fact: Fact, event: GroupNotQualified, known: Known, members: tuple[Buyer, ...]) -> Told:
    concerned = [buyer for buyer in members if event.party == "buyer" and buyer.buyer_id == event.party_id]
    party = concerned[0].legal_name if concerned else f"the {event.party}"
    people = [known.coordinator_id, *(buyer.contact_id for buyer in concerned)]
    return _mails(fact, known, people, letters.NotVerified(party=party, reason=event.reason))


def _no_replies(known: Known, everyone: list[UUID], request_version: int) -> Told:
    # Opening and comparing may both find that there is nothing; it is one fact, and one mail.
    nothing = derived_id("no replies", known.purchase_id, request_version)
    for_coordinator = letters.NoReplies(
        participants=participants(known.invitations, known.opened, request_version)
    )
    return Told(
        mails=tuple(
            mail(
                nothing,
                known.purchase_id,
                person,
                for_coordinator if person == known.coordinator_id else letters.NoReplies(),
            )
            for person in dict.fromkeys(everyone)
        )
    )


def _compared(fact: Fact, event: RepliesCompared, known: Known, members: tuple[Buyer, ...]) -> Told | None:
    comparison = (known.comparisons or {}).get(event.comparison_sha256)
    if comparison is None:
        return None
    providers = {reply.reply_id: reply.provider_id for reply in event.replies}
    replies = sorted(comparison.evaluations, key=lambda reply: reply.rank)
    group = tuple(_offered(reply, reply, providers[reply.reply_id]) for reply in replies)
    own: dict[UUID, list[letters.OwnRow]] = {}
    for member in members:
        rows = [
            _offered(reply, buyer, providers[reply.reply_id])
            for reply in replies
            for buyer in reply.buyers
            if buyer.buyer_id == member.buyer_id
        ]
        own.setdefault(member.contact_id, []).append(
            letters.OwnRow(legal_name=member.legal_name, offers=tuple(rows))
        )
    took_part = participants(known.invitations, known.opened, event.request_version)
    mails = []
    for person in dict.fromkeys([known.coordinator_id, *own]):
        if person is not None:
            coordinates = person == known.coordinator_id
            letter = letters.RepliesCompared(
                currency=comparison.currency,
                tax_basis=comparison.tax_basis,
                group=group if coordinates else (),
                own=tuple(own.get(person, ())),
                participants=took_part if coordinates else (),
            )
            mails.append(mail(fact.cause_id, known.purchase_id, person, letter))
    return Told(mails=tuple(mails))


def _offered(
    reply: ComparedReply, figures: ComparedReply | ComparedBuyer, provider_id: ProviderId
) -> letters.Offered:
    return letters.Offered(
        rank=reply.rank,
        provider_id=provider_id,
        contract_months=reply.contract_months,
        charged=_whole_cents(figures.charged_over_term),
        total=_whole_cents(figures.term_total),
        saving=_whole_cents(figures.saving),
    )


def _whole_cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"))


def _selected(event: ProviderSelected, members: tuple[Buyer, ...]) -> Told:
    buyers = tuple(
        AwardedBuyer(buyer_id=buyer.buyer_id, legal_name=buyer.legal_name, identifiers=buyer.identifiers)
        for buyer in members
    )
    award = AwardNotified(
        purchase_id=event.purchase_id, award=event.award, reply_id=event.reply_id, buyers=buyers
    )
    others = [
        (
            other.provider_id,
            UnsuccessfulNotified(
                purchase_id=event.purchase_id, reply_id=other.reply_id, rank=other.rank, reason=other.reason
            ),
        )
        for other in event.others
    ]
    return Told(notices=((event.provider_id, award), *others))


def _accepted(fact: Fact, event: TermsAccepted, known: Known, everyone: list[UUID]) -> Told | None:
    if event.award not in known.awards_told:
        return None
    notice = AcceptanceNotified(
        purchase_id=event.purchase_id, award=event.award, terms_sha256=event.terms_sha256
    )
    letter = letters.Done(provider_id=event.provider_id, terms_sha256=event.terms_sha256)
    return Told(notices=((event.provider_id, notice),), mails=_mails(fact, known, everyone, letter).mails)


def _rejected(fact: Fact, event: TermsRejected, known: Known, everyone: list[UUID]) -> Told | None:
    if event.award not in known.awards_told:
        return None
    notice = RejectionNotified(
        purchase_id=event.purchase_id, award=event.award, terms_sha256=event.terms_sha256, reason=event.reason
    )
    letter = letters.TermsRejected(reason=event.reason)
    return Told(notices=((event.provider_id, notice),), mails=_mails(fact, known, everyone, letter).mails)


def _mails(fact: Fact, known: Known, people: Iterable[UUID | None], letter: Letter) -> Told:
    # A person who is the contact of several buyers, or the coordinator too, gets one mail.
    each_once = [person for person in dict.fromkeys(people) if person is not None]
    return Told(mails=tuple(mail(fact.cause_id, known.purchase_id, person, letter) for person in each_once))
