"""What the demonstration's page tells: plain data, filled by the demonstration, shown by `linepool.demo.page`.

Amounts are money in `Story.currency`, times are aware, and names may be anything that a stranger typed.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Moved:
    """Messages of one type that moved over one topic in one step."""

    message: str
    topic: str
    count: int


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the purchase: what was done, in a sentence, and what moved because of it."""

    at: datetime
    title: str
    text: str
    moved: tuple[Moved, ...]


@dataclass(frozen=True, slots=True)
class AtUsage:
    """What an offer comes to over the term at another level of usage, and its rank there."""

    term_total: Decimal
    rank: int


@dataclass(frozen=True, slots=True)
class PaysMore:
    """The buyer that would pay most above what it is charged, and how much over the term."""

    buyer: str
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Offer:
    """One evaluated reply. Totals and `charged` are over its term.

    `alone_total` is what all buyers would pay at the same tariff, each as a group of one.
    """

    rank: int
    provider: str
    name: str
    contract_months: int
    term_total: Decimal
    charged: Decimal
    saving: Decimal
    buyers_paying_more: int
    worst: PaysMore | None
    at_80_percent: AtUsage
    at_120_percent: AtUsage
    alone_total: Decimal
    gain_from_group: Decimal
    selected: bool


@dataclass(frozen=True, slots=True)
class Pays:
    """What one buyer would pay under one offer, over its term."""

    term_total: Decimal
    saving: Decimal
    alone_total: Decimal


@dataclass(frozen=True, slots=True)
class Buyer:
    """One member of the group; `pays` has one entry for each of `Story.offers`, in their order."""

    name: str
    identifier: str
    lines: int
    charged: Decimal
    """Over the term of the selected offer."""
    pays: tuple[Pays, ...]


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail that was sent. The demonstration masks the password before it comes here."""

    at: datetime
    to: str
    subject: str
    text: str
    message_id: str


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One entry of the disclosure ledger: a provider was shown something, under a qualification."""

    at: datetime
    provider: str
    shown: str
    content_sha256: str
    qualification: int
    qualified_until: datetime


@dataclass(frozen=True, slots=True)
class Intruder:
    """Someone without the right to do it tried something, and the broker answered."""

    who: str
    tried: str
    topic: str
    error: str


@dataclass(frozen=True, slots=True)
class Rejection:
    """A provider's message that was not taken, and the reason it was given."""

    at: datetime
    provider: str
    message: str
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A question, as the coordinator restated it, and its answer: how many providers were told, and when that was decided."""

    at: datetime
    question: str
    answer: str
    told: int


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an operator with every right could read of the replies before they were opened, and when that was."""

    looked_at: datetime
    replies: int
    excerpt: str
    """The beginning of a sealed offer, in base64."""
    characters: int
    """Of all sealed offers together, in base64."""
    records: int
    """Messages of the bidders that were searched."""
    values: int
    """Values of tables that were searched."""
    deadline: datetime
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Verified:
    """A provider's receipt, verified offline: the command, what it said, and what it said once a digit was changed."""

    provider: str
    command: str
    said: tuple[str, ...]
    said_of_changed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Crash:
    """A process that was killed in the middle of its work, and what the count of messages said afterwards."""

    at: datetime
    process: str
    point: str
    seconds_until_back: Decimal
    messages_counted: int
    lost: int
    doubled: int


@dataclass(frozen=True, slots=True)
class Check:
    """What the checker found for one invariant: how many things it looked at, and how many broke it."""

    number: str
    claim: str
    looked_at: int
    violations: int
    how: str


@dataclass(frozen=True, slots=True)
class Story:
    """One purchase from the first order to the acceptance of the terms."""

    group: str
    purchase_id: str
    currency: str
    tax_basis: str
    data_set: str
    """Name and origin of the usage data."""
    started_at: datetime
    ended_at: datetime
    lines: int
    usage_charges_rated: int
    providers_listed: int
    messages: int
    """All that moved over Kafka."""
    accepted_terms: str
    accepted_terms_sha256: str
    stack: tuple[tuple[str, str], ...]
    """Name and version of each real part that ran."""
    steps: tuple[Step, ...]
    offers: tuple[Offer, ...]
    """By rank; exactly one is selected."""
    buyers: tuple[Buyer, ...]
    mails: tuple[Mail, ...]
    disclosures: tuple[Disclosure, ...]
    intruders: tuple[Intruder, ...]
    rejections: tuple[Rejection, ...]
    attached: tuple[str, ...]
    """The names of the documents that were attached to the request."""
    answered: Answered
    sealed: Sealed
    verified: Verified
    processes: tuple[str, ...]
    """The names of all that ran: the services, and the opener."""
    crash: Crash
    checks: tuple[Check, ...]

    @property
    def selected(self) -> Offer:
        """The offer that the group selected."""
        return next(offer for offer in self.offers if offer.selected)
