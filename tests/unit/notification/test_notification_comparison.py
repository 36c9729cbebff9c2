"""The full comparison, as rating writes it, is what mails are made from."""

from decimal import Decimal
from uuid import UUID

from linepool.rating.evaluate import Reply, evaluate
from linepool.rating.lines import ServiceUsage, UsageLine
from linepool.rating.tariff import Tariff, TaxBasis, UsagePrice
from services.notification.domain.comparison import Comparison
from shared.canonical import canonical_json
from tests.unit.notification.notification_facts import CLINICS, FREIGHT, LOST, WON


def test_what_rating_compared_reads_to_the_cent() -> None:
    lines = [
        UsageLine(
            buyer_id=buyer,
            line_id="1",
            services=(ServiceUsage("voice.day", Decimal(minutes), "MIN", Decimal(charged)),),
            recurring_charged=Decimal("0.00"),
            contract_end=None,
            exit_fee=Decimal("0.00"),
        )
        for buyer, minutes, charged in ((CLINICS, "100", "17.00"), (FREIGHT, "200", "34.00"))
    ]

    def reply(reply_id: UUID, price: str, at: int) -> Reply:
        tariff = Tariff(
            name="<b>offer</b>",
            currency="EUR",
            tax_basis=TaxBasis("net"),
            contract_months=24,
            components=(UsagePrice("voice.day", "MIN", Decimal(price)),),
        )
        return Reply(reply_id, at, tariff)

    compared = evaluate(
        lines,
        [reply(LOST, "0.20", 1), reply(WON, "0.10", 2)],
        currency="EUR",
        tax_basis=TaxBasis("net"),
        period_months=12,
    )

    read = Comparison.model_validate_json(canonical_json(compared.to_json()))

    assert [(one.rank, one.reply_id, one.contract_months) for one in read.evaluations] == [
        (1, WON, 24),
        (2, LOST, 24),
    ]
    first = read.evaluations[0]
    assert [str(amount) for amount in (first.charged_over_term, first.term_total, first.saving)] == [
        "102.00",
        "60.00",
        "42.00",
    ]
    assert {one.buyer_id: str(one.term_total) for one in first.buyers} == {CLINICS: "20.00", FREIGHT: "40.00"}
