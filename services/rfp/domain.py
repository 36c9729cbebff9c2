"""What a request may do and when: its states, who may order what, whom it lists, and how it ends."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from shared.envelope import Actor
from shared.messages.aggregation import GroupAggregated, Identifier
from shared.messages.rfp import (
    DescribeNeed,
    ProviderRule,
    QualificationPolicy,
    RegisterProvider,
    SetProviderList,
)
from shared.outcomes import NotYet, Refusal
from shared.sealing import can_seal_for

State = Literal["forming", "drafted", "issued", "closed", "cancelled"]
"""forming: the group is not closed yet. drafted: there is a snapshot to make a request from. issued: frozen, replies are taken.
closed: the deadline has passed. cancelled: called off."""
Move = Literal["draft", "describe", "list", "attach", "issue", "answer", "cancel", "pass_deadline"]

MOVES: Mapping[Move, Mapping[State, State]] = {
    "draft": {"forming": "drafted"},
    "describe": {"forming": "forming", "drafted": "drafted"},
    "list": {"forming": "forming", "drafted": "drafted"},
    "attach": {"forming": "forming", "drafted": "drafted"},
    "issue": {"drafted": "issued"},
    "answer": {"issued": "issued"},
    "cancel": {"drafted": "cancelled", "issued": "cancelled", "closed": "cancelled"},
    "pass_deadline": {"issued": "closed"},
}
"""The legal moves: from which state each leads where."""
FIRST_VERSION = 1


@dataclass(frozen=True)
class Request:
    """The request of one purchase, as far as it is known."""

    purchase_id: UUID
    state: State
    coordinator_id: UUID | None
    aggregated: GroupAggregated | None
    need: DescribeNeed | None
    listed: SetProviderList | None
    version: int | None
    deadline: datetime | None
    complete: bool = False
    """Whether the group has accepted a provider's terms."""
    policy: QualificationPolicy | None = None
    """What was asked for, when the group was frozen, before it is qualified; None while it is not frozen."""
    dissolved: bool = False
    """Whether the group was given up before it was closed."""


@dataclass(frozen=True)
class Issue:
    """All that an issued request is made of, nothing missing."""

    aggregated: GroupAggregated
    need: DescribeNeed
    listed: SetProviderList


@dataclass(frozen=True)
class Provider:
    """A provider that the operator has registered."""

    provider_id: str
    name: str
    categories: tuple[str, ...]
    regions: tuple[str, ...]
    suspended: bool


@dataclass(frozen=True)
class Buyer:
    """An organisation that joined the group, and its contact person's id."""

    buyer_id: UUID
    legal_name: str
    identifiers: tuple[Identifier, ...]
    contact_id: UUID


@dataclass(frozen=True)
class Question:
    """A question about the request; nobody here knows who asked."""

    question_id: UUID
    request_version: int
    question: str
    answered: bool


@dataclass(frozen=True)
class Repeated:
    """The same again: nothing changes, and nothing is said."""


def move(request: Request, wanted: Move) -> State | Refusal | NotYet:
    """Return the state that a move leads to, or why it cannot be made."""
    found = MOVES[wanted].get(request.state)
    if found is not None:
        return found
    match request.state:
        case "cancelled":
            return Refusal("request_cancelled", "The request was cancelled.")
        case "closed":
            return Refusal("deadline_passed", "The request's deadline has passed.")
        case "forming":
            return NotYet("not_drafted", "The group is not closed, so there is no draft.")
        case "drafted":
            return Refusal("not_issued", "The request was not issued.")
        case "issued":
            return Refusal("request_issued", "The request was issued and is frozen.")


def may_coordinate(request: Request | None, actor: Actor) -> Refusal | NotYet | None:
    """Only the group's coordinator may give orders about its request."""
    if request is None or request.coordinator_id is None:
        return NotYet("group_unknown", "There is no such group.")
    if actor.person_id != request.coordinator_id:
        return Refusal("not_coordinator", "Only the group's coordinator may give this order.")
    return None


def may_describe(request: Request, command: DescribeNeed) -> Refusal | NotYet | None:
    """A need can be described until the request is issued, each service once; offers can be sealed for its custodian."""
    state = move(request, "describe")
    if isinstance(state, Refusal | NotYet):
        return state
    if len({one.service for one in command.services}) != len(command.services):
        return Refusal("service_twice", "A service is asked for twice.")
    if command.custodian is not None and not can_seal_for(command.custodian.public_key):
        return Refusal("custodian_key_unusable", "Nothing can be sealed for the custodian's key.")
    return None


def may_list(
    request: Request, command: SetProviderList, registered: Collection[str]
) -> Refusal | NotYet | None:
    """A list names registered providers, each once, or gives a rule; never both.

    Args:
        request: it must not be issued yet.
        command: the list.
        registered: which of the ids it names are registered.
    """
    state = move(request, "list")
    if isinstance(state, Refusal | NotYet):
        return state
    if bool(command.provider_ids) == (command.rule is not None):
        return Refusal("list_unclear", "A list needs either provider ids or a rule.")
    if len(set(command.provider_ids)) != len(command.provider_ids):
        return Refusal("provider_twice", "A provider stands twice on the list.")
    if any(provider_id not in registered for provider_id in command.provider_ids):
        return NotYet("provider_unknown", "A provider on the list is not registered.")
    return None


def may_issue(request: Request, now: datetime) -> Issue | Refusal | NotYet:
    """A request needs a draft, a need, a list, and a deadline that is still to come."""
    state = move(request, "issue")
    if isinstance(state, Refusal | NotYet):
        return state
    if request.aggregated is None:
        return NotYet("not_drafted", "The group is not closed, so there is no draft.")
    if request.need is None:
        return Refusal("need_missing", "The request does not say what it asks for.")
    if request.listed is None:
        return Refusal("list_missing", "The request has no list of providers.")
    if request.need.deadline <= now:
        return Refusal("deadline_not_ahead", "The deadline must lie in the future.")
    return Issue(request.aggregated, request.need, request.listed)


def may_answer(
    request: Request, question: Question | None, now: datetime, *, answered_before: bool
) -> Question | Refusal | NotYet:
    """A question is answered once, while replies can still take the answer into account.

    Args:
        request: it must be issued, and its deadline still to come.
        question: None where it has not arrived.
        now: the time of the decision.
        answered_before: whether this order was obeyed before a restore; the deadline may have been passed again since.
    """
    if answered_before and question is not None and not question.answered:
        return question
    state = move(request, "answer")
    if isinstance(state, Refusal | NotYet):
        return state
    if request.deadline is not None and request.deadline <= now:
        return Refusal("deadline_passed", "The request's deadline has passed.")
    if question is None:
        return NotYet("question_unknown", "There is no such question.")
    if question.answered:
        return Refusal("answered_already", "The question was answered.")
    return question


def may_cancel(request: Request) -> State | Refusal | NotYet:
    """A purchase can be called off until the group has accepted terms, also after the deadline."""
    if request.complete:
        return Refusal("purchase_complete", "The group has accepted a provider's terms.")
    return move(request, "cancel")


def freeze_list(listed: SetProviderList, providers: Iterable[Provider]) -> tuple[str, ...] | Refusal:
    """Return who may see the request; whoever is suspended now may not.

    Args:
        listed: ids, which keep their order, or a rule, whose list is in the order of the ids.
        providers: at least those whom the list names or the rule fits.
    """
    admitted = [one for one in providers if not one.suspended]
    if listed.rule is None:
        admitted_ids = {one.provider_id for one in admitted}
        named = tuple(one for one in listed.provider_ids if one in admitted_ids)
        return named or Refusal("list_empty", "Every provider on the list is suspended or removed.")
    fitting = sorted(one.provider_id for one in admitted if _fits(one, listed.rule))
    return tuple(fitting) or Refusal("list_empty", "No registered provider fits the rule.")


def _fits(provider: Provider, rule: ProviderRule) -> bool:
    return rule.category in provider.categories and rule.region in provider.regions


def known_members(aggregated: GroupAggregated | None, buyers: Sequence[Buyer]) -> tuple[Buyer, ...] | NotYet:
    """Return the frozen members with their identities, in the order of the snapshot, once all of them are known here."""
    by_id = {one.buyer_id: one for one in buyers}
    if aggregated is None or any(buyer_id not in by_id for buyer_id in aggregated.buyer_ids):
        return NotYet("buyers_unknown", "The identity of a buyer has not arrived yet.")
    return tuple(by_id[buyer_id] for buyer_id in aggregated.buyer_ids)


def may_register(command: RegisterProvider, known: Provider | None) -> Repeated | None:
    """Decide whether this says anything new of the provider."""
    said = (command.name, command.categories, command.regions)
    return Repeated() if known and (known.name, known.categories, known.regions) == said else None


def may_suspend(known: Provider | None, *, suspend: bool) -> Refusal | Repeated | None:
    """Decide whether a provider's suspension begins (or, with `suspend` false, ends)."""
    if known is None:
        return Refusal("provider_unknown", "There is no such provider.")
    return Repeated() if known.suspended == suspend else None


def may_remove(known: Provider | None, *, purchase_open: bool) -> Refusal | None:
    """A provider stays registered while a purchase that lists it is open: it may be owed an answer, or an award."""
    if known is None:
        return Refusal("provider_unknown", "There is no such provider.")
    if purchase_open:
        return Refusal("purchase_open", "A purchase that lists the provider is open.")
    return None
