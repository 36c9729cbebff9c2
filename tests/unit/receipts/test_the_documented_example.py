"""`docs/receipts.md` recomputed as a stranger would: from the page alone, without our code."""

import json
import re
from base64 import b64decode
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from linepool.receipts.verify import verify

PAGE = (Path(__file__).parents[3] / "docs" / "receipts.md").read_text()
PROVIDER = "aikoaikoaiko"


def values() -> tuple[str, list[tuple[str, dict[str, Any]]]]:
    (key,) = re.findall(r"Verifying key: `(\S+)`", PAGE)
    (block,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    lines = [json.loads(line) for line in block.splitlines()]
    return key, [(line["type"], line["data"]) for line in lines]


def shown() -> set[str]:
    """What stands indented or in a block of text."""
    indented = re.findall(r"^    (.+)$", PAGE, re.MULTILINE)
    return {
        *indented,
        *(text.removesuffix("\n") for text in re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)),
    }


def test_by_hand_everything_comes_out_as_the_page_says() -> None:
    key_b64, ((_, first), (_, second), (_, checkpoint), (_, proof)) = values()
    key = Ed25519PublicKey.from_public_bytes(b64decode(key_b64))

    head = sha256(f"linepool chain\n{PROVIDER}".encode()).digest()
    computed = {head.hex()}
    for answer in (first, second):
        chain = answer.pop("chain")
        text = json.dumps(answer, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        head = sha256(head + sha256(text.encode()).digest()).digest()
        assert head.hex() == chain["head"]
        statement = f"linepool receipt\n{PROVIDER}\n{chain['number']}\n{head.hex()}"
        key.verify(b64decode(chain["signature"]), statement.encode())
        if answer is first:
            computed |= {text, sha256(text.encode()).hexdigest(), head.hex(), statement}

    assert proof["chain_head"] == head.hex()
    said = "\n".join(
        [
            "linepool leaf",
            PROVIDER,
            proof["purchase_id"],
            "1",
            str(proof["chain_number"]),
            proof["chain_head"],
        ]
    )
    hash_ = sha256(b"\x00" + bytes.fromhex(proof["salt"]) + said.encode()).digest()
    computed |= {said, hash_.hex()}
    place = proof["leaf"]
    for other in map(bytes.fromhex, proof["path"]):
        hash_ = sha256(b"\x01" + (hash_ + other if place % 2 == 0 else other + hash_)).digest()
        place //= 2
    assert hash_.hex() == checkpoint["root"]
    assert checkpoint["size"] == 2 ** len(proof["path"])
    fields = [str(checkpoint[name]) for name in ("purchase_id", "number", "made_at", "size", "root")]
    signed = "\n".join(["linepool checkpoint", *fields])
    key.verify(b64decode(checkpoint["signature"]), signed.encode())
    computed.add(signed)

    assert computed == shown()


def test_our_own_verification_agrees() -> None:
    key, notices = values()
    found = verify(PROVIDER, notices, key, notices[0][1])
    assert (found.ok, found.answers, found.receipt) == (True, 2, "proved")
