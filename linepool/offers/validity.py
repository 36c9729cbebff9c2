"""Whether an offer answers what a request asks for."""

from typing import Protocol

from shared.messages.providers import Offer
from shared.messages.rfp import ServiceNeed


class Asked(Protocol):
    """What a request asks for, as far as an offer can miss it."""

    @property
    def services(self) -> tuple[ServiceNeed, ...]:
        """The services and the units that they are counted in."""

    @property
    def currency(self) -> str:
        """By ISO 4217."""

    @property
    def tax_basis(self) -> str:
        """Net or gross."""

    @property
    def contract_months(self) -> int:
        """How long a contract binds."""


def reasons_against(asked: Asked, offer: Offer) -> list[str]:
    """Return why the offer is no answer to the request, as sentences without subject; none where it is one."""
    reasons: list[str] = []
    if offer.currency != asked.currency:
        reasons.append(f"is in {offer.currency}, the request asks for {asked.currency}")
    if offer.tax_basis != asked.tax_basis:
        reasons.append(f"is {offer.tax_basis}, the request asks for {asked.tax_basis} prices")
    if offer.contract_months != asked.contract_months:
        reasons.append(
            f"binds for {offer.contract_months} months, the request asks for {asked.contract_months}"
        )
    units = {part.service: part.unit for part in offer.components if part.kind == "usage"}
    for need in asked.services:
        if need.service not in units:
            reasons.append(f"does not price {need.service}")
        elif units[need.service] != need.unit:
            reasons.append(
                f"prices {need.service} per {units[need.service]}, the request counts it in {need.unit}"
            )
    return reasons
