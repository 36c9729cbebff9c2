"""The Merkle tree of RFC 9162, section 2.1 (as in RFC 6962), over a power of two of leaves."""

from collections.abc import Sequence
from hashlib import sha256


def leaf_hash(data: bytes) -> bytes:
    """Return a leaf's hash: SHA-256 over the byte 0x00 and the data."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node: SHA-256 over the byte 0x01 and both hashes below it."""
    return sha256(b"\x01" + left + right).digest()


def levels(leaves: Sequence[bytes]) -> list[list[bytes]]:
    """Return all hashes of the tree, level by level, from the leaves' hashes to the root alone.

    Raises:
        ValueError: the number of leaves is no power of two.
    """
    if not leaves or len(leaves) & (len(leaves) - 1):
        raise ValueError("a full tree has a power of two of leaves")
    tree = [list(leaves)]
    while len(tree[-1]) > 1:
        below = tree[-1]
        tree.append([node_hash(below[at], below[at + 1]) for at in range(0, len(below), 2)])
    return tree


def path(tree: Sequence[Sequence[bytes]], place: int) -> list[bytes]:
    """Return the hashes beside the way from the leaf at this place up to the root, from below."""
    return [level[(place >> height) ^ 1] for height, level in enumerate(tree[:-1])]


def root_of(leaf: bytes, place: int, beside: Sequence[bytes]) -> bytes:
    """Return the root to which this leaf's hash leads from its place, past the hashes beside the way."""
    hash_ = leaf
    for height, other in enumerate(beside):
        is_right = (place >> height) & 1
        hash_ = node_hash(other, hash_) if is_right else node_hash(hash_, other)
    return hash_
