"""Making a reply that only the opener can read, with the custodian where there is one, and only after the deadline.

`docs/providers.md` describes the same bytes for every language.
"""

from linepool.provider.bundle import Keys
from linepool.provider.errors import OfferError, SealError
from linepool.provider.pricing import problems_of
from linepool.provider.request import Request
from shared.messages.distribution import RequestPresented
from shared.messages.providers import Offer, ReplySubmitted
from shared.sealing import seal_offer
from shared.signing import is_signed, seal_key_statement

BLOCK = 4096
"""A sealed offer is filled up with spaces to a multiple of so many bytes, so that its length tells little."""


def make_reply(
    request: Request, offer: Offer, *, provider_id: str, revision: int, keys: Keys
) -> ReplySubmitted:
    """Return the reply, sealed where the request asks for it.

    Raises:
        OfferError: bidding would find it invalid after opening.
        SealError: the request's key is not signed by the key of the bundle.
    """
    if reasons := problems_of(request, offer):
        raise OfferError(reasons)
    purchase_id, version = request.purchase_id, request.version
    if request.presented.seal == "none":
        return ReplySubmitted(
            purchase_id=purchase_id, request_version=version, revision=revision, seal="none", offer=offer
        )
    sealed = sealed_offer(request, offer, provider_id=provider_id, revision=revision, keys=keys)
    return ReplySubmitted(
        purchase_id=purchase_id, request_version=version, revision=revision, seal="hpke", sealed_offer=sealed
    )


def sealed_offer(request: Request, offer: Offer, *, provider_id: str, revision: int, keys: Keys) -> str:
    """Return base64 of the box around the offer, sealed twice where the request names a custodian.

    Raises SealError as `make_reply` does.
    """
    custodian = request.content.need.custodian
    try:
        return seal_offer(
            padded(offer),
            purchase_id=request.purchase_id,
            request_version=request.version,
            provider_id=provider_id,
            revision=revision,
            opener_key=signed_key(request.presented, keys),
            custodian_key=None if custodian is None else custodian.public_key,
        )
    except ValueError as error:
        raise SealError("a public key of the request is not an X25519 key") from error


def signed_key(presented: RequestPresented, keys: Keys) -> str:
    """Return the key to seal to, once its signature has been checked. Raises SealError as `make_reply` does."""
    if keys.seal_keys is None:
        raise SealError("the bundle names no key to check the request's public key with (keys.seal_keys)")
    if presented.public_key is None or presented.key_signature is None:
        raise SealError("the request brings no signed public key")
    said = seal_key_statement(presented.purchase_id, presented.request_version, presented.public_key)
    if not is_signed(keys.seal_keys, said, presented.key_signature):
        raise SealError("the request's public key is not signed by the opener that the bundle names")
    return presented.public_key


def padded(offer: Offer) -> bytes:
    """Return the offer's JSON, filled up with spaces."""
    content = offer.model_dump_json(exclude_none=True).encode()
    return content + b" " * (-len(content) % BLOCK)
