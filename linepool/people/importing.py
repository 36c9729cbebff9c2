"""What was read from files goes to the portal: members, and usage reports in parts.

Keys and ids follow from the content, so that the same file again, after whatever went wrong, changes nothing twice.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from linepool.members.rows import Member
from linepool.people.api import ApiError
from linepool.people.asking import Purchase, buyer_of
from linepool.usage.parts import parts_of
from linepool.usage.reports import UsageReport
from shared.messages.aggregation import LineUsage, Period


def import_members(
    purchase: Purchase, members: Sequence[Member], say: Callable[[str], None], *, invite: bool
) -> None:
    """Add or invite every member, and say each as it is done; who is one already is said so.

    Raises:
        ApiError: the portal refuses anything else.
    """
    known = {one["buyer_id"] for one in purchase.get("buyers")["buyers"]}
    for member in members:
        contact = {"name": member.contact_name, "email": member.contact_email, "phone": member.contact_phone}
        key = _id(purchase.id, "member", *(f"{one.scheme}:{one.id}" for one in member.identifiers))
        if str(key) in known:
            say(f"{member.legal_name} is a member already.")
            continue
        if invite:
            body = {"invitation_id": str(key), "legal_name": member.legal_name, "contact": contact}
            purchase.order("invite-buyer", body)
            say(f"{member.legal_name} is invited.")
            continue
        identifiers = [one.model_dump() for one in member.identifiers]
        try:
            purchase.order(
                "add-buyer",
                {
                    "buyer_id": str(key),
                    "legal_name": member.legal_name,
                    "identifiers": identifiers,
                    "contact": contact,
                },
            )
        except ApiError as error:
            if error.reason != "organisation_is_member":
                raise
            say(f"{member.legal_name} is a member already.")
            continue
        if member.billing is not None:
            preferences = {"buyer_id": str(key), "preferences": member.billing.model_dump()}
            purchase.order("set-billing-preferences", preferences)
        say(f"{member.legal_name} has joined.")


def import_usage(purchase: Purchase, reports: Sequence[UsageReport], say: Callable[[str], None]) -> None:
    """Report each buyer's usage, and say each as it is done.

    Raises:
        ApiError: the group does not have a buyer, before anything is reported; or the portal refuses a report.
    """
    buyers = purchase.get("buyers")
    about = [(buyer_of(buyers, report.buyer), report) for report in reports]
    for buyer_id, report in about:
        for body in bodies_of(purchase.id, buyer_id, report.period, report.lines):
            purchase.order("report-usage", body, wait=body["part"] == body["parts"])
        say(f"{report.buyer}: {len(report.lines)} lines are reported.")


def bodies_of(
    purchase_id: str, buyer_id: str, period: Period, lines: Sequence[LineUsage]
) -> Iterator[dict[str, Any]]:
    """Yield the orders that report a buyer's lines, in as many parts as it takes."""
    parts = [[json.loads(line.model_dump_json()) for line in part] for part in parts_of(lines)]
    report_id = _id(purchase_id, "report", buyer_id, json.dumps(parts), period.model_dump_json())
    for number, part in enumerate(parts, start=1):
        yield {
            "buyer_id": buyer_id,
            "report_id": str(report_id),
            "period": json.loads(period.model_dump_json()),
            "part": number,
            "parts": len(parts),
            "lines": part,
        }


def _id(purchase_id: str, *content: str) -> UUID:
    return uuid5(NAMESPACE_URL, "/".join(("linepool", "import", purchase_id, *content)))
