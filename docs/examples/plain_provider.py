"""A provider without our code: confluent-kafka and cryptography alone. It takes part in one purchase and then ends.

`python plain_provider.py BUNDLE [PRICE [PURCHASE]]`: it replies to the request of this purchase, or to the first that it is
shown, with this price for every unit (default 0.10), and, if the group selects it, proposes terms. It ends once the terms are
accepted, or another was selected.
"""

import base64
import hashlib
import json
import sys
import time
import uuid
from pathlib import Path

from confluent_kafka import Consumer, Producer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

PATIENCE_S = 300
TERMS = "Payment in 30 days."


def main() -> int:
    """Take part; return 0 when everything that was sent was taken."""
    folder, given = Path(sys.argv[1]), sys.argv[2:]
    price, wanted = given[0] if given else "0.10", given[1] if len(given) > 1 else None
    bundle = json.loads((folder / "linepool.json").read_text())
    provider_id, prefix, login = bundle["provider_id"], bundle["prefix"], properties(folder)
    consumer = Consumer(
        {
            **login,
            "group.id": f"{prefix}providers.{provider_id}.plain",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    producer = Producer({**login, "acks": "all"})
    consumer.subscribe([f"{prefix}invitations.{provider_id}", f"{prefix}notices.{provider_id}"])
    purchase, waiting = None, {}

    def say(kind: str, message: dict) -> None:
        body, message_id = json.dumps(message).encode(), str(uuid.uuid4())
        headers = {"ce_specversion": "1.0", "ce_id": message_id, "ce_type": f"linepool.{kind}.v1"}
        producer.produce(
            f"{prefix}replies.{provider_id}", body, headers={**headers, "content-type": "application/json"}
        )
        waiting[message_id] = hashlib.sha256(body).hexdigest()
        producer.flush(30)

    deadline = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < deadline:
            record = consumer.poll(1.0)
            if record is None or record.error():
                continue
            kind = dict(record.headers() or []).get("ce_type", b"").decode()
            told = json.loads(record.value())
            if (
                kind == "linepool.request-presented.v1"
                and purchase is None
                and wanted in {None, told["purchase_id"]}
            ):
                purchase = told["purchase_id"]
                say("reply-submitted", reply(told, provider_id, price, bundle["keys"].get("seal_keys")))
            elif kind == "linepool.receipt-issued.v1" and told["message_id"] in waiting:
                if waiting.pop(told["message_id"]) != told["sha256"]:
                    return fail("a receipt is for other bytes than were sent")
                print("receipt", told["message_type"], told["appended_at"], flush=True)  # noqa: T201
            elif kind == "linepool.message-rejected.v1" and told["message_id"] in waiting:
                return fail(f"{told['reason']}: {told['detail']}")
            elif kind == "linepool.award-notified.v1" and told["purchase_id"] == purchase:
                terms = {"purchase_id": purchase, "award": told["award"], "title": "Terms", "text": TERMS}
                say("terms-proposed", {**terms, "terms_sha256": hashlib.sha256(TERMS.encode()).hexdigest()})
            elif (
                kind in {"linepool.acceptance-notified.v1", "linepool.unsuccessful-notified.v1"}
                and told["purchase_id"] == purchase
            ):
                consumer.commit(record)
                print(kind, flush=True)  # noqa: T201
                return 0
            consumer.commit(record)
    finally:
        consumer.close()
    return fail("nothing came to an end in time")


def properties(folder: Path) -> dict[str, str]:
    """Read the bundle's client.properties: they are librdkafka's own."""
    lines = (folder / "client.properties").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    for name in ("ssl.ca.location", "ssl.certificate.location", "ssl.key.location"):
        if name in found:
            found[name] = str(folder / found[name])
    return found


def reply(request: dict, provider_id: str, price: str, seal_keys: str | None) -> dict:
    """Fill in the sample of a reply that every request brings, and seal it where that is asked for."""
    content = request["content_json"]
    if hashlib.sha256(content.encode()).hexdigest() != request["content"]["sha256"]:
        raise ValueError("the content is not what its manifest says")
    sample = json.loads(content)["sample_reply"]
    offer = {**sample["offer"], "name": "Plain", "billing": "One invoice a month for each member."}
    usage = [part for part in offer["components"] if part["kind"] == "usage"]
    offer["components"] = [{**part, "price": price} for part in usage]
    if request["seal"] == "none":
        return {**sample, "offer": offer}
    purchase, version, revision = request["purchase_id"], request["request_version"], sample["revision"]
    statement = f"linepool seal key\n{purchase}\n{version}\n{request['public_key']}".encode()
    signed_by = Ed25519PublicKey.from_public_bytes(base64.b64decode(seal_keys or ""))
    signed_by.verify(base64.b64decode(request["key_signature"]), statement)
    inside = json.dumps(offer).encode()
    inside += b" " * (-len(inside) % 4096)
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    if custodian := json.loads(content)["need"].get("custodian"):
        inner_key = X25519PublicKey.from_public_bytes(base64.b64decode(custodian["public_key"]))
        inner_info = f"linepool offer for custodian {purchase} {version} {provider_id} {revision}".encode()
        inside = suite.encrypt(inside, inner_key, info=inner_info)
    key = X25519PublicKey.from_public_bytes(base64.b64decode(request["public_key"]))
    info = f"linepool offer {purchase} {version} {provider_id} {revision}".encode()
    box = base64.b64encode(suite.encrypt(inside, key, info=info)).decode()
    head = {name: value for name, value in sample.items() if name not in {"offer", "seal"}}
    return {**head, "seal": "hpke", "sealed_offer": box}


def fail(sentence: str) -> int:
    """Say what went wrong; return the exit code for it."""
    print(sentence, file=sys.stderr)  # noqa: T201
    return 1


if __name__ == "__main__":
    sys.exit(main())
