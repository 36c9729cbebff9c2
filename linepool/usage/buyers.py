"""The ids of buyers that a file knows by name."""

from uuid import UUID, uuid5

UNASSIGNED_BUYER = UUID(int=0)
"""The buyer of lines that nobody has been given yet."""

_BUYER_NAMES = UUID("6a0e7d4c-6a57-5c3e-9b37-1f6f3c9c3f0d")


def buyer_id_of(name: str) -> UUID:
    """Return the id of the buyer that a file calls `name`: that UUID itself, or one derived from the name."""
    try:
        as_uuid = UUID(name)
    except ValueError:
        return uuid5(_BUYER_NAMES, name)
    return as_uuid if str(as_uuid) == name else uuid5(_BUYER_NAMES, name)
