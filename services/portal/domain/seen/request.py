"""The request, who was shown it, and what was asked about it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from services.portal.domain.facts import Fact, newest, of_type
from services.portal.domain.roles import Standing
from shared.messages.base import Document
from shared.messages.bidding import (
    CustodianKeyReleased,
    QuestionReceived,
    RepliesOpened,
)
from shared.messages.distribution import AccessGranted, AccessRefused, ProviderInvited
from shared.messages.rfp import (
    Custodian,
    DocumentAttached,
    NeedDescribed,
    ProviderListSet,
    ProviderRule,
    QuestionAnswered,
    RequestIssued,
    ServiceNeed,
)


class SeenRequest(BaseModel):
    """The request as it was issued, or as it is drafted so far."""

    request_version: int | None
    title: str
    description: str
    services: tuple[ServiceNeed, ...]
    places: tuple[str, ...]
    deadline: datetime
    contract_months: int
    mode: str
    buyers_shown: str
    documents: list[Document]
    content_sha256: str | None
    provider_ids: list[str] | None
    """Who may see it; only for the coordinator and the auditor."""
    provider_rule: ProviderRule | None
    custodian: Custodian | None
    """For whom offers are sealed beside the opener."""
    custodian_released: bool
    """Whether the custodian's key was handed in."""


class SeenProvider(BaseModel):
    """What a provider on the list was shown, and when. Whether it replied shows only after opening."""

    provider_id: str
    name: str | None
    invited_at: datetime | None
    access_granted_at: datetime | None
    access_refused: list[str]
    acknowledged_at: datetime | None
    declined: bool | None
    replied: bool | None
    """None before the replies are opened."""


class SeenQuestion(BaseModel):
    """A question; who asked it is told to nobody."""

    question_id: UUID
    asked_at: datetime
    question: str
    answer: str | None
    answered_at: datetime | None


def request(facts: Sequence[Fact], who: Standing) -> SeenRequest | None:
    """Return the request; members see it once it is issued."""
    need, issued = newest(facts, NeedDescribed), newest(facts, RequestIssued)
    listed = newest(facts, ProviderListSet)
    if need is None or (issued is None and not who.sees_all):
        return None
    shown = who.sees_all
    return SeenRequest(
        request_version=issued.request_version if issued else None,
        title=need.title,
        description=need.description,
        services=need.services,
        places=need.places,
        deadline=issued.deadline if issued else need.deadline,
        contract_months=need.contract_months,
        mode=need.mode,
        buyers_shown=need.buyers_shown,
        documents=[*issued.documents]
        if issued
        else [one.document for _, one in of_type(facts, DocumentAttached)],
        content_sha256=issued.content.sha256 if issued else None,
        provider_ids=_list(issued, listed) if shown else None,
        provider_rule=listed.rule if listed and shown else None,
        custodian=issued.custodian if issued else need.custodian,
        custodian_released=newest(facts, CustodianKeyReleased) is not None,
    )


def _list(issued: RequestIssued | None, listed: ProviderListSet | None) -> list[str]:
    if issued:
        return [*issued.provider_ids]
    return [*listed.provider_ids] if listed else []


def providers(facts: Sequence[Fact], names: dict[str, str]) -> list[SeenProvider]:
    """Return what each listed provider was shown; for the coordinator and the auditor."""
    issued = newest(facts, RequestIssued)
    opened = newest(facts, RepliesOpened)
    found = []
    for provider_id in issued.provider_ids if issued else ():
        invited = [fact for fact, one in of_type(facts, ProviderInvited) if one.provider_id == provider_id]
        granted = [one for _, one in of_type(facts, AccessGranted) if one.provider_id == provider_id]
        refused = [one.reason for _, one in of_type(facts, AccessRefused) if one.provider_id == provider_id]
        acknowledged = [
            one.acknowledged_at
            for one in (opened.acknowledged if opened else ())
            if one.provider_id == provider_id
        ]
        found.append(
            SeenProvider(
                provider_id=provider_id,
                name=names.get(provider_id),
                invited_at=invited[0].said_at if invited else None,
                access_granted_at=granted[0].granted_at if granted else None,
                access_refused=[*refused],
                acknowledged_at=min(acknowledged, default=None),
                declined=provider_id in opened.declined if opened else None,
                replied=any(one.provider_id == provider_id for one in opened.replies) if opened else None,
            )
        )
    return found


def questions(facts: Sequence[Fact], who: Standing) -> list[SeenQuestion]:
    """Return the questions; members see those that are answered."""
    answers = {one.question_id: (fact.said_at, one) for fact, one in of_type(facts, QuestionAnswered)}
    found = []
    for fact, asked in of_type(facts, QuestionReceived):
        answered_at, answer = answers.get(asked.question_id, (None, None))
        if answer or who.sees_all:
            found.append(
                SeenQuestion(
                    question_id=asked.question_id,
                    asked_at=fact.said_at,
                    question=asked.question if who.sees_all else answer.question if answer else "",
                    answer=answer.answer if answer else None,
                    answered_at=answered_at,
                )
            )
    return found
