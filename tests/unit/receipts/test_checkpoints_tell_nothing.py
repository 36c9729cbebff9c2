import json
import re
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linepool.receipts.chain import Head, beginning
from linepool.receipts.checkpoint import LEAVES, grow
from linepool.receipts.tree import leaf_hash, levels, node_hash, path, root_of
from tests.unit.receipts.notices import PROVIDER, PURCHASE, SECRET, Desk

RANDOM_LOOKING = re.compile(r"[0-9a-f]{64}|[A-Za-z0-9+/]{86}==")


def test_the_tree_is_that_of_rfc_9162() -> None:
    a, b, c, d = (leaf_hash(bytes([n])) for n in range(4))
    assert a == sha256(b"\x00\x00").digest()
    root = node_hash(node_hash(a, b), node_hash(c, d))
    assert root == sha256(b"\x01" + node_hash(a, b) + node_hash(c, d)).digest()
    assert levels([a, b, c, d])[-1] == [root]
    assert path(levels([a, b, c, d]), 2) == [d, node_hash(a, b)]
    with pytest.raises(ValueError, match="power of two"):
        levels([a, b, c])


@given(st.integers(0, 6).flatmap(lambda height: st.tuples(st.just(height), st.integers(0, 2**height - 1))))
def test_every_leaf_leads_to_the_root_and_from_no_other_place(where: tuple[int, int]) -> None:
    height, place = where
    leaves = [leaf_hash(bytes([n])) for n in range(2**height)]
    tree = levels(leaves)
    beside = path(tree, place)
    assert root_of(leaves[place], place, beside) == tree[-1][0]
    for elsewhere in range(2**height):
        assert (root_of(leaves[place], elsewhere, beside) == tree[-1][0]) == (elsewhere == place)


def test_a_tree_has_room_for_every_list_and_no_more() -> None:
    heads = {f"{n:012d}": beginning(f"{n:012d}") for n in range(LEAVES)}
    tree = grow(SECRET, PURCHASE, 1, heads)
    assert sorted(tree.places.values()) == list(range(LEAVES))
    with pytest.raises(ValueError, match="at most 1024"):
        grow(SECRET, PURCHASE, 1, heads | {"onetoomany00": Head(0, b"")})


def said_to_one(others: int, answers: int) -> tuple[list[Any], list[int]]:
    """All that a provider sees of checkpoints and proofs, with what looks random taken out; and its places."""
    desk = Desk(others=others)
    for _ in range(answers):
        desk.answer()
    seen, places = [], []
    for number in range(1, 4):
        desk.checkpoint(number)
        places.append(desk.prove(number)["leaf"])
    for type_, body in desk.notices[answers:]:
        shown = {name: value for name, value in body.items() if name != "leaf"}
        seen.append((type_, RANDOM_LOOKING.sub("*", json.dumps(shown))))
    return seen, places


def test_nothing_that_a_provider_sees_depends_on_how_many_others_there_are_or_what_they_said() -> None:
    shown = [said_to_one(others, 2)[0] for others in (0, 1, 499, 999)]
    assert shown[0] == shown[1] == shown[2] == shown[3]
    assert len(shown[0]) == 6
    assert all("*" in text for _, text in shown[0])


def test_places_do_not_fill_up_from_one_side() -> None:
    """Where the only provider stands, over many checkpoints, is spread as evenly as chance does."""
    places = [
        grow(SECRET, PURCHASE, number, {PROVIDER: beginning(PROVIDER)}).places[PROVIDER]
        for number in range(1, 201)
    ]
    assert len(set(places)) > 150
    assert 0.4 < sum(places) / len(places) / LEAVES < 0.6


def test_salts_places_and_fillers_are_made_again_from_the_secret_alone_and_differ_everywhere() -> None:
    heads = {name: beginning(name) for name in ("aikoaikoaiko", "briobriobrio")}
    tree = grow(SECRET, PURCHASE, 1, heads)
    assert grow(SECRET, PURCHASE, 1, dict(reversed(heads.items()))).levels == tree.levels
    others = [grow(SECRET, PURCHASE, 2, heads), grow(bytes(32), PURCHASE, 1, heads)]
    for other in others:
        assert not set(other.levels[0]) & set(tree.levels[0])
        assert not set(other.salts.values()) & set(tree.salts.values())
    assert len(set(tree.levels[0])) == LEAVES
