"""A reply that leaves the kit is one that bidding would take, and only the opener can read it."""

import json
from base64 import b64decode
from datetime import datetime
from decimal import Decimal
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from linepool.custodian.keys import key_for
from linepool.provider.bundle import Keys
from linepool.provider.errors import OfferError, RequestError, SealError
from linepool.provider.pricing import preview
from linepool.provider.request import Request
from linepool.provider.sealing import BLOCK, make_reply
from shared.messages.providers import Offer, ReplySubmitted
from shared.sealing import (
    custodian_info,
    offer_info,
    open_bytes,
    open_sealed,
    private_key,
    public_key_b64,
    read_private_key,
)
from shared.signing import is_signed, seal_key_statement
from tests.unit.provider.a_request import BOX_KEY, KEYS, PROVIDER, PURCHASE, a_request, an_offer

DOCS = Path(__file__).parents[3] / "docs"
SEALED = a_request(sealed=True)
CUSTODIAN_KEY = private_key(b"c" * 32, "a custodian's")
SEALED_TWICE = a_request(
    sealed=True, custodian={"name": "Meier & Partners", "public_key": public_key_b64(CUSTODIAN_KEY)}
)
USAGE = {"kind": "usage", "service": "voice.day", "unit": "MIN", "price": Decimal("0.10")}
DATA = {"kind": "usage", "service": "data", "unit": "E34", "price": Decimal("2.00")}
NIGHT = {"kind": "usage", "service": "voice.night", "unit": "MIN", "price": Decimal("0.05")}


def reply(request: Request, offer: Offer, *, revision: int = 1, keys: Keys = KEYS) -> ReplySubmitted:
    return make_reply(request, offer, provider_id=PROVIDER, revision=revision, keys=keys)


def plain_provider() -> ModuleType:
    """The example, as it stands."""
    spec = spec_from_file_location("plain_provider", DOCS / "examples" / "plain_provider.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opened(message: ReplySubmitted, info: str) -> bytes:
    assert message.sealed_offer is not None
    return open_sealed(BOX_KEY, message.sealed_offer, info)


def test_a_sealed_reply_opens_for_its_purchase_version_provider_and_revision_only() -> None:
    message = reply(SEALED, an_offer(), revision=3)
    assert (message.seal, message.offer) == ("hpke", None)
    content = opened(message, offer_info(PURCHASE, 1, PROVIDER, 3))
    assert Offer.model_validate_json(content) == an_offer()
    for other in (
        offer_info(PURCHASE, 1, PROVIDER, 2),
        offer_info(PURCHASE, 2, PROVIDER, 3),
        offer_info(PURCHASE, 1, "briobriobrio", 3),
    ):
        with pytest.raises(ValueError, match="does not open"):
            opened(message, other)


def test_a_reply_to_a_request_with_a_custodian_opens_with_both_keys_and_with_neither_alone() -> None:
    message = reply(SEALED_TWICE, an_offer(), revision=3)
    inner = opened(message, offer_info(PURCHASE, 1, PROVIDER, 3))
    assert b"Offer" not in inner
    with pytest.raises(ValueError, match="does not open"):
        open_bytes(CUSTODIAN_KEY, b64decode(message.sealed_offer or ""), offer_info(PURCHASE, 1, PROVIDER, 3))
    content = open_bytes(CUSTODIAN_KEY, inner, custodian_info(PURCHASE, 1, PROVIDER, 3))
    assert Offer.model_validate_json(content) == an_offer()
    assert len(content) == BLOCK
    for other in (
        custodian_info(PURCHASE, 1, PROVIDER, 2),
        custodian_info(PURCHASE, 2, PROVIDER, 3),
        custodian_info(PURCHASE, 1, "briobriobrio", 3),
        offer_info(PURCHASE, 1, PROVIDER, 3),
    ):
        with pytest.raises(ValueError, match="does not open"):
            open_bytes(CUSTODIAN_KEY, inner, other)


def test_a_provider_without_our_code_seals_twice_as_well() -> None:
    assert KEYS.seal_keys is not None
    for request in (SEALED, SEALED_TWICE):
        said = plain_provider().reply(
            json.loads(request.presented.to_bytes()), PROVIDER, "0.10", KEYS.seal_keys
        )
        content = opened(ReplySubmitted.model_validate(said), offer_info(PURCHASE, 1, PROVIDER, 1))
        if request is SEALED_TWICE:
            content = open_bytes(CUSTODIAN_KEY, content, custodian_info(PURCHASE, 1, PROVIDER, 1))
        assert Offer.model_validate_json(content).name == "Plain"


def test_a_custodian_s_key_that_nothing_can_be_sealed_for_is_refused_in_a_sentence() -> None:
    request = a_request(sealed=True, custodian={"name": "Meier", "public_key": "A" * 43 + "="})
    with pytest.raises(SealError, match="is not an X25519 key"):
        reply(request, an_offer())


def test_the_length_of_a_sealed_reply_tells_little() -> None:
    short, long = (an_offer(name="n" * length) for length in (1, 200))
    sizes = {len(opened(reply(SEALED, one), offer_info(PURCHASE, 1, PROVIDER, 1))) for one in (short, long)}
    assert sizes == {BLOCK}


def test_an_unsealed_request_takes_the_offer_as_it_is() -> None:
    message = reply(a_request(), an_offer(), keys=Keys())
    assert (message.seal, message.offer, message.sealed_offer) == ("none", an_offer(), None)


@pytest.mark.parametrize(
    ("changes", "keys", "sentence"),
    [
        ({}, Keys(), "the bundle names no key"),
        ({}, Keys(seal_keys=public_key_b64(private_key(b"x" * 32, "x"))), "is not signed by the opener"),
        ({"public_key": public_key_b64(private_key(b"x" * 32, "x"))}, KEYS, "is not signed by the opener"),
        ({"key_signature": "AAAA"}, KEYS, "is not signed by the opener"),
        ({"key_signature": None}, KEYS, "no signed public key"),
    ],
)
def test_nothing_is_sealed_to_a_key_that_the_opener_did_not_sign(
    changes: dict[str, Any], keys: Keys, sentence: str
) -> None:
    presented = SEALED.presented.model_copy(update=changes)
    request = Request.of(presented, SEALED.content_json, SEALED.documents)
    with pytest.raises(SealError, match=sentence):
        reply(request, an_offer(), keys=keys)


@pytest.mark.parametrize(
    ("offer", "reason"),
    [
        (an_offer(currency="SEK"), "is in SEK, the request asks for EUR"),
        (an_offer(tax_basis="gross"), "is gross, the request asks for net prices"),
        (an_offer(contract_months=12), "binds for 12 months, the request asks for 24"),
        (an_offer(USAGE, NIGHT), "does not price data"),
        (an_offer(USAGE, DATA), "does not price voice.night"),
        (an_offer(USAGE, {**DATA, "unit": "4L"}, NIGHT), "prices data per 4L, the request counts it in E34"),
        (
            an_offer({**USAGE, "price": Decimal(999999999999)}, DATA, NIGHT),
            "comes to more than an amount can be",
        ),
    ],
)
@pytest.mark.parametrize("sealed", [True, False])
def test_what_would_be_invalid_is_refused_before_it_is_sealed(
    offer: Offer, reason: str, sealed: bool
) -> None:
    with pytest.raises(OfferError) as caught:
        reply(a_request(sealed=sealed), offer)
    assert reason in caught.value.reasons


def test_the_preview_is_what_bidding_computes() -> None:
    seen = preview(SEALED, an_offer())
    lines, data, night = Decimal("4.50") * 3 * 24, Decimal("6.00") * 24, Decimal("0.50") * 24
    day = (Decimal("12.05") + Decimal("7.95") + Decimal("100.00")) * 24
    assert seen.term_total == lines + day + data + night
    assert [one.line_count for one in seen.buyers] == [2, 1]


def test_the_preview_does_not_depend_on_whether_buyers_are_named() -> None:
    shared = {"kind": "recurring", "per": "group", "price": Decimal("100.00")}
    offer = an_offer(shared, USAGE, DATA, NIGHT)
    named, hidden = (preview(a_request(buyers_shown=shown), offer) for shown in ("named", "pseudonymous"))
    assert [one.term_total for one in named.buyers] == [one.term_total for one in hidden.buyers]


def test_a_document_that_is_not_its_manifests_is_refused() -> None:
    with pytest.raises(RequestError, match="usage-lines"):
        Request.of(SEALED.presented, SEALED.content_json, {"usage-lines": b"{}"})
    with pytest.raises(RequestError, match="'request' is not what"):
        Request.of(SEALED.presented, SEALED.content_json + b" ", SEALED.documents)


def test_the_vector_for_other_languages_is_what_we_do() -> None:
    vector = json.loads((DOCS / "providers" / "seal-vector.json").read_text())
    private = X25519PrivateKey.from_private_bytes(b64decode(vector["private_key"]))
    about = UUID(vector["purchase_id"]), vector["request_version"]
    assert public_key_b64(private) == vector["public_key"]
    assert seal_key_statement(*about, vector["public_key"]).decode() == vector["key_statement"]
    assert is_signed(vector["seal_keys"], vector["key_statement"].encode(), vector["key_signature"])
    assert offer_info(*about, vector["provider_id"], vector["revision"]) == vector["info"]
    content = open_sealed(private, vector["sealed_offer"], vector["info"])
    assert content == vector["content"].encode().ljust(vector["content_bytes"])


def test_the_vector_of_two_layers_for_other_languages_is_what_we_do() -> None:
    vector = json.loads((DOCS / "providers" / "seal-twice-vector.json").read_text())
    opener, custodian = (read_private_key(vector[name]) for name in ("private_key", "custodian_private_key"))
    assert public_key_b64(opener) == vector["public_key"]
    assert public_key_b64(custodian) == vector["custodian_public_key"]
    about = UUID(vector["purchase_id"]), vector["request_version"], vector["provider_id"], vector["revision"]
    assert (offer_info(*about), custodian_info(*about)) == (vector["info"], vector["custodian_info"])
    deadline = datetime.fromisoformat(vector["deadline"])
    assert public_key_b64(
        key_for(b64decode(vector["custodian_secret"]), about[0], deadline)
    ) == public_key_b64(custodian)
    inner = open_sealed(opener, vector["sealed_offer"], vector["info"])
    content = open_bytes(custodian, inner, vector["custodian_info"])
    assert content == vector["content"].encode().ljust(vector["content_bytes"])
