"""Full comparisons, and documents that belong to terms, arrive in parts."""

from services.portal.handlers.streams import comparisons
from services.portal.store import comparisons as store
from services.portal.store import terms
from shared.delivery import Tx
from shared.messages.bidding import ComparisonPart, TermsDocumentPart


@comparisons.handle
async def learn_of_comparison(event: ComparisonPart, tx: Tx) -> None:
    """Keep a part of the full comparison."""
    await store.keep_part(tx, event)


@comparisons.handle
async def learn_of_terms_document(event: TermsDocumentPart, tx: Tx) -> None:
    """Keep a part of the document that belongs to terms."""
    await terms.keep_part(tx, event)
