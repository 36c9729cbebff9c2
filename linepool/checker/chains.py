"""I2: each provider's answers stand in one chain without gap or fork, and under each proved checkpoint; computed anew."""

import json
from collections import defaultdict
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

from linepool.checker.history import History, Record, distinct

ANSWERS = ("receipt-issued", "message-rejected")
Heads = dict[int, bytes]
"""The head after each answer of one provider, by number."""


def broken_chains(history: History) -> Iterator[str]:
    """Yield what is wrong with the chains of answers and the checkpoints over them."""
    heads: dict[str, Heads] = {}
    for topic in history.topics:
        if topic.startswith("notices."):
            provider = topic.rpartition(".")[2]
            heads[provider] = {0: sha256(f"linepool chain\n{provider}".encode()).digest()}
            yield from _chain(heads[provider], distinct(history.topic(topic)))
    yield from _ends(history, heads)
    yield from _checkpoints(history, heads)


def _chain(heads: Heads, records: list[Record]) -> Iterator[str]:
    last = 0
    for record in records:
        if record.type not in ANSWERS:
            continue
        link = record.body.get("chain")
        if link is None:
            if last:
                yield f"{record.place} is in no chain, and answers before it are"
            continue
        number = int(link["number"])
        if number != last + 1:
            yield f"{record.place} is answer {number} of its chain, and stands behind answer {last}"
        elif _head(heads[last], record.body).hex() != link["head"]:
            yield f"{record.place} does not lead to its head, or does not follow answer {last}"
        last = number
        heads[number] = bytes.fromhex(link["head"])


def _head(before: bytes, body: dict[str, Any]) -> bytes:
    rest = {name: value for name, value in body.items() if name != "chain"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256(before + sha256(text.encode()).digest()).digest()


def _ends(history: History, heads: dict[str, Heads]) -> Iterator[str]:
    if history.unsent:
        return
    for row in history.rows("bidding", "chains"):
        chain = heads.get(str(row["provider_id"]), {})
        last = max(chain, default=0)
        if int(row["number"]) != last or (last and bytes(row["head"]) != chain[last]):
            yield f"the chain of {row['provider_id']} ends at {row['number']} in its table, and at {last} on its topic"


def _checkpoints(history: History, heads: dict[str, Heads]) -> Iterator[str]:
    said: dict[tuple[str, int], dict[str, Record]] = defaultdict(dict)
    for record in history.told("notices.", "checkpoint-published"):
        id_ = (record.purchase, int(record.body["number"]))
        first = next(iter(said[id_].values()), record)
        if first.body != record.body:
            yield f"{record.place} says another checkpoint {id_[1]} than {first.place}"
        said[id_][record.provider] = record
    for record in history.told("notices.", "inclusion-proved"):
        number = int(record.body["checkpoint"])
        checkpoint = said[record.purchase, number].get(record.provider)
        covered = heads[record.provider].get(int(record.body["chain_number"]))
        if checkpoint is None:
            yield f"{record.place} proves checkpoint {number}, which its provider was never told"
        elif covered is None or covered.hex() != record.body["chain_head"]:
            yield f"{record.place} is about a chain that is not that of its provider"
        elif _root(record) != checkpoint.body["root"]:
            yield f"{record.place} does not lead to the root of checkpoint {number}"


def _root(proof: Record) -> str:
    body = proof.body
    says = ["linepool leaf", proof.provider, proof.purchase, body["checkpoint"], body["chain_number"]]
    leaf = "\n".join(map(str, [*says, body["chain_head"]])).encode()
    hash_ = sha256(b"\x00" + bytes.fromhex(body["salt"]) + leaf).digest()
    place = int(body["leaf"])
    for other in body["path"]:
        beside = bytes.fromhex(other)
        hash_ = sha256(b"\x01" + (beside + hash_ if place % 2 else hash_ + beside)).digest()
        place //= 2
    return hash_.hex()
