"""Which documents about a party can be filed, by whom, and when a letter of agency is enough.

A letter follows the rules of the E-Rate consortia: it says for which services and how long, and is signed before it begins.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from services.aggregation.domain.groups import Buyer, Group, Repeated, may_coordinate, may_speak_for
from shared.documents import unfit
from shared.envelope import Actor
from shared.messages.base import Document
from shared.messages.evidence import Agency, EvidenceKind, FileEvidence, FileLetter, Party
from shared.outcomes import Refusal

MOST = 20
"""So many documents can be filed about a party, letters included."""
DATE_LINE = timedelta(hours=14)
"""Somewhere on earth it is so much later than by UTC."""


@dataclass(frozen=True)
class Mandate:
    """What a letter of agency says, and who signed it."""

    agency: Agency
    signer: str


@dataclass(frozen=True)
class Filing:
    """A part of a document about a party; a letter of agency has a mandate, and nothing else has."""

    purchase_id: UUID
    party: Party
    party_id: UUID
    kind: EvidenceKind | Literal["letter_of_agency"]
    mandate: Mandate | None
    document: Document
    part: int
    data: str

    @classmethod
    def of(cls, command: FileLetter | FileEvidence) -> "Filing":
        """Return what an order files."""
        part = (command.document, command.part, command.data)
        match command:
            case FileLetter():
                mandate = Mandate(command.agency, command.signer)
                return cls(command.purchase_id, "buyer", command.buyer_id, "letter_of_agency", mandate, *part)
            case FileEvidence():
                return cls(command.purchase_id, command.party, command.party_id, command.kind, None, *part)


@dataclass(frozen=True)
class Filed:
    """A document that was begun; `complete` once all its parts were there and had its hash."""

    document: Document
    mandate: Mandate | None
    complete: bool


def may_file(group: Group | None, buyer: Buyer | None, actor: Actor, filing: Filing) -> Refusal | None:
    """The coordinator files for itself and for every buyer, a member for its own buyer, also after the group is closed."""
    of_buyer = filing.party == "buyer"
    refusal = may_speak_for(group, buyer, actor) if of_buyer else may_coordinate(group, actor)
    if refusal is not None or group is None:
        return refusal
    if group.dissolved:
        return Refusal("group_dissolved", "The group was given up; nothing more is taken for it.")
    if not of_buyer and filing.party_id != group.coordinator_id:
        return Refusal("party_unknown", "The group has no such party.")
    return None


def take_part(
    filing: Filing, filed: Mapping[tuple[str, str], Filed], now: datetime
) -> Refusal | Repeated | None:
    """Decide whether a part can be taken.

    A document of which parts are missing may be begun anew with other content; a complete one stays as it is, but for a letter,
    whose place a newer one takes.

    Args:
        filing: the part, of a party that the actor may file for.
        filed: what was filed or begun about this party before, by kind and name.
        now: the time of the decision.
    """
    before = filed.get((filing.kind, filing.document.name))
    if before == Filed(filing.document, filing.mandate, complete=True):
        return Repeated()
    refusal = unfit(filing.document, filing.part, filing.data)
    if refusal is not None:
        return refusal
    if before is None and len(filed) >= MOST:
        return Refusal("too_many_documents", f"At most {MOST} documents can be filed about a party.")
    if filing.mandate is not None:
        return _unfit_agency(filing.mandate.agency, now)
    if before is not None and before.complete:
        return Refusal("name_taken", "The party has another document of this kind and name.")
    return None


def _unfit_agency(agency: Agency, now: datetime) -> Refusal | None:
    if agency.signed_on > agency.valid_from:
        return Refusal("signed_late", "A letter of agency is signed before it begins.")
    if agency.signed_on > (now + DATE_LINE).date():
        return Refusal("signed_in_future", "The letter's date of signature lies in the future.")
    return None


def may_act(group: Group, buyer: Buyer | None, actor: Actor, agency: Agency | None) -> Refusal | None:
    """Where letters are required, the coordinator acts for a buyer only with its letter, and says for whom.

    Args:
        group: the group.
        buyer: whom the actor may speak for.
        actor: who gives the order; a buyer's own contact person needs no letter.
        agency: the buyer's letter that counts, if one is filed.
    """
    if not group.letters_required or buyer is None or actor.person_id == buyer.contact_id:
        return None
    if agency is None:
        return Refusal("letter_missing", "The buyer's letter of agency is not filed.")
    if actor.on_behalf_of != buyer.buyer_id:
        return Refusal("not_on_behalf", "The order does not say that it is given on behalf of this buyer.")
    return None


def may_close(
    group: Group, used: Mapping[UUID, Collection[str]], letters: Mapping[UUID, Agency], today: date
) -> Refusal | None:
    """Where letters are required, every member must have one that is valid today and covers what it uses.

    Args:
        group: the group.
        used: the services that each member's report names, by buyer.
        letters: the letters that count, by buyer.
        today: the date of the decision.
    """
    if group.letters_required and not all(
        buyer_id in letters and is_enough(letters[buyer_id], services, today)
        for buyer_id, services in used.items()
    ):
        return Refusal(
            "letters_missing",
            "A buyer has no letter of agency that is valid today and covers the services that it uses.",
        )
    return None


def is_enough(agency: Agency, services: Collection[str], today: date) -> bool:
    """Return whether a letter is valid on a day and covers these services; `voice` covers `voice.day` too."""
    return agency.valid_from <= today <= agency.valid_until and all(
        any(service == covered or service.startswith(f"{covered}.") for covered in agency.services)
        for service in services
    )
