"""A checkpoint: one root over the chains of all listed providers, blinded so that it tells nothing about any of them.

The tree always has 1024 leaves. Each provider's place and salt, and what fills the other places, follow from bidding's secret:
who does not have it can tell neither a leaf from a filler nor how many there are, and a restored service makes them again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from linepool.receipts.chain import Head
from linepool.receipts.tree import leaf_hash, levels, path
from shared.sealing import derive
from shared.signing import statement

LEAVES = 1024
"""A list has at most 1000 providers."""


@dataclass(frozen=True)
class Proof:
    """What a provider needs to see its chain under the root; `beside` are the hashes beside the way up, from below."""

    head: Head
    salt: bytes
    place: int
    beside: tuple[bytes, ...]


@dataclass(frozen=True)
class Tree:
    """A checkpoint's tree. Who sees it whole learns how many providers are listed: it never leaves bidding."""

    heads: Mapping[str, Head]
    salts: Mapping[str, bytes]
    places: Mapping[str, int]
    levels: list[list[bytes]]

    @property
    def root(self) -> bytes:
        """The one hash over all leaves."""
        return self.levels[-1][0]

    def proof(self, provider_id: str) -> Proof:
        """Return how this provider's chain stands under the root. Raises KeyError where it is not listed."""
        place = self.places[provider_id]
        return Proof(self.heads[provider_id], self.salts[provider_id], place, tuple(path(self.levels, place)))


def grow(secret: bytes, purchase_id: UUID, number: int, heads: Mapping[str, Head]) -> Tree:
    """Return the tree of this checkpoint over the heads of all listed providers' chains.

    Raises:
        ValueError: there are more than 1024 of them.
    """
    if len(heads) > LEAVES:
        raise ValueError(f"a checkpoint covers at most {LEAVES} providers")
    checkpoint = f"checkpoint {purchase_id} {number}"
    order = derive(secret, f"{checkpoint}: places", 32)
    free = sorted(range(LEAVES), key=lambda place: sha256(order + place.to_bytes(2)).digest())
    places = dict(zip(sorted(heads), free, strict=False))
    salts = {provider: derive(secret, f"{checkpoint}: salt {provider}", 32) for provider in places}
    leaves = {
        place: leaf_hash(leaf(salts[provider], provider, str(purchase_id), number, heads[provider]))
        for provider, place in places.items()
    }
    for place in free[len(places) :]:
        leaves[place] = derive(secret, f"{checkpoint}: filler {place}", 32)
    return Tree(heads, salts, places, levels([leaves[place] for place in range(LEAVES)]))


def leaf(salt: bytes, provider_id: str, purchase_id: str, number: int, head: Head) -> bytes:
    """Return the data of a provider's leaf: the salt's 32 bytes, then a statement of where its chain stood."""
    return salt + statement("leaf", provider_id, purchase_id, number, head.number, head.hash.hex())


def checkpoint_statement(checkpoint: Mapping[str, Any]) -> bytes:
    """Return the bytes that bidding signs for a checkpoint, from the JSON values of its body."""
    fields = ("purchase_id", "number", "made_at", "size", "root")
    return statement("checkpoint", *(checkpoint[name] for name in fields))
