"""One provider's side: reading requests, replying sealed, and keeping what proves it.

    bundle = Bundle.read(Path("bundle"))
    async with open_provider(bundle) as provider:
        request = await provider.request(purchase_id)
        await provider.acknowledge(request)
        sent = await provider.submit(request, offer)
        receipt = await provider.receipt(sent)

`bundle` is how to connect, `request` what is asked, `kit` says and hears, `subscription` goes on where it was, `sealing` and
`pricing` work offline, `inbox`, `sheet` and `commands` are the same for people.
"""

from linepool.provider.bundle import Bundle, Keys
from linepool.provider.errors import (
    BundleError,
    OfferError,
    ProviderError,
    RejectedError,
    RequestError,
    SealError,
    SheetError,
    TermsError,
)
from linepool.provider.kit import Answer, Provider, open_provider
from linepool.provider.request import Request
from linepool.provider.subscription import subscribe

__all__ = [
    "Answer",
    "Bundle",
    "BundleError",
    "Keys",
    "OfferError",
    "Provider",
    "ProviderError",
    "RejectedError",
    "Request",
    "RequestError",
    "SealError",
    "SheetError",
    "TermsError",
    "open_provider",
    "subscribe",
]
