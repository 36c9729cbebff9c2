"""Under which identifiers an organisation is taken."""

from collections.abc import Iterable

from linepool.registers import form_of
from shared.messages.aggregation import Identifier
from shared.outcomes import Refusal


def may_identify(identifiers: Iterable[Identifier]) -> Refusal | None:
    """An organisation is not taken under an identifier that no register can have given."""
    malformed = [one.scheme for one in identifiers if form_of(one) == "malformed"]
    if malformed:
        return Refusal("identifier_invalid", f"The identifier has not the form of {malformed[0]}.")
    return None
