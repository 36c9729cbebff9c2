"""The page's plots: small inline SVG, drawn from the story's figures, readable in print and by a screen reader.

Coordinates are whole pixels of the view box; colours are classes, so that dark and light follow the page.
"""

from collections.abc import Sequence
from decimal import Decimal

from markupsafe import Markup

from linepool.demo.figures import money, signed_money, whole
from linepool.demo.story import Buyer, Offer

WIDTH = 1040
LEFT = 8
RIGHT = WIDTH - 8
ROW = 64
AXIS = 34
STEPS = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
INTERVALS = 4


class Scale:
    """Maps amounts to pixels between `LEFT` and `RIGHT`; `ticks` are round amounts that span all given ones."""

    def __init__(self, amounts: Sequence[Decimal]) -> None:
        low, high = min(amounts), max(amounts)
        step = _round_step((high - low) / INTERVALS if high > low else Decimal(1))
        first, last = (
            (low / step).to_integral_value("ROUND_FLOOR"),
            (high / step).to_integral_value("ROUND_CEILING"),
        )
        last = max(last, first + 1)
        self.ticks = [step * (first + index) for index in range(int(last - first) + 1)]

    def x(self, amount: Decimal) -> int:
        """Return the pixel of an amount."""
        low, high = self.ticks[0], self.ticks[-1]
        return LEFT + int(((amount - low) / (high - low) * (RIGHT - LEFT)).to_integral_value())


def offer_bars(offers: Sequence[Offer], currency: str) -> Markup:
    """Draw each offer's total over the term as a bar, its range at -20 and +20 % usage, and today's charges as a line."""
    scale = Scale(
        [
            Decimal(0),
            *(o.term_total for o in offers),
            *(o.charged for o in offers),
            *(o.at_120_percent.term_total for o in offers),
        ]
    )
    marks = [_axis(scale, len(offers), currency)]
    for row, offer in enumerate(offers):
        y = row * ROW
        end, charged = scale.x(offer.term_total), scale.x(offer.charged)
        low, high = scale.x(offer.at_80_percent.term_total), scale.x(offer.at_120_percent.term_total)
        chosen = " chosen" if offer.selected else ""
        marks += [
            _label(LEFT, y + 16, _named(offer)),
            _label(RIGHT, y + 16, whole(offer.term_total), "end figure"),
            _svg(
                '<rect class="bar{}" x="{}" y="{}" width="{}" height="16"/>', chosen, LEFT, y + 26, end - LEFT
            ),
            _svg(
                '<path class="range" d="M{} {}H{}M{} {}v8M{} {}v8"/>',
                low,
                y + 48,
                high,
                low,
                y + 44,
                high,
                y + 44,
            ),
            _svg('<path class="today" d="M{} {}v26"/>', charged, y + 22),
        ]
    told = (
        f"{_named(o)}: {whole(o.term_total)} {currency}, charged today {whole(o.charged)}" for o in offers
    )
    return _drawing(len(offers), "Total of each offer over its term", "; ".join(told), marks)


def saving_strip(offers: Sequence[Offer], buyers: Sequence[Buyer], currency: str) -> Markup:
    """Draw one mark for each buyer under each offer, at what it would save over the term; left of zero it pays more."""
    savings = [pays.saving for buyer in buyers for pays in buyer.pays]
    scale = Scale([Decimal(0), *savings])
    marks = [
        _axis(scale, len(offers), currency),
        _svg('<path class="zero" d="M{} 0v{}"/>', scale.x(Decimal(0)), len(offers) * ROW),
    ]
    for row, offer in enumerate(offers):
        y = row * ROW
        more = sum(1 for buyer in buyers if buyer.pays[row].saving < 0)
        marks += [
            _label(LEFT, y + 16, _named(offer)),
            _label(RIGHT, y + 16, f"{more} of {len(buyers)} pay more", "end"),
        ]
        for buyer in buyers:
            saving = buyer.pays[row].saving
            marks.append(
                _svg(
                    '<path class="{}" d="M{} {}v24"><title>{}: {}</title></path>',
                    "tick more" if saving < 0 else "tick less",
                    scale.x(saving),
                    y + 28,
                    buyer.name,
                    signed_money(saving),
                )
            )
    told = (f"{_named(o)}: {o.buyers_paying_more} of {len(buyers)} buyers pay more" for o in offers)
    return _drawing(len(offers), "Saving of each buyer under each offer", "; ".join(told), marks)


def alone_or_together(offers: Sequence[Offer], currency: str) -> Markup:
    """Draw, for each offer, what the buyers would pay each alone and what they pay together, joined by what they gain."""
    scale = Scale([amount for offer in offers for amount in (offer.alone_total, offer.term_total)])
    marks = [_axis(scale, len(offers), currency)]
    for row, offer in enumerate(offers):
        y = row * ROW
        alone, together = scale.x(offer.alone_total), scale.x(offer.term_total)
        marks += [
            _label(LEFT, y + 16, _named(offer)),
            _label(RIGHT, y + 16, _gain(offer), "end"),
            _svg('<path class="gain" d="M{} {}H{}"/>', together, y + 40, alone),
            _svg('<circle class="alone" cx="{}" cy="{}" r="7"/>', alone, y + 40),
            _svg('<circle class="together" cx="{}" cy="{}" r="5"/>', together, y + 40),
        ]
    told = (
        f"{_named(o)}: alone {whole(o.alone_total)}, together {whole(o.term_total)} {currency}"
        for o in offers
    )
    return _drawing(len(offers), "Each alone, or together", "; ".join(told), marks)


def _drawing(rows: int, title: str, told: str, marks: Sequence[Markup]) -> Markup:
    opening = _svg(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}"><desc>{}</desc>',
        WIDTH,
        rows * ROW + AXIS,
        title,
        told,
    )
    return opening + Markup("").join(marks) + Markup("</svg>")


def _axis(scale: Scale, rows: int, currency: str) -> Markup:
    bottom = rows * ROW + 6
    marks = []
    for index, tick in enumerate(scale.ticks):
        x, last = scale.x(tick), index == len(scale.ticks) - 1
        anchor = "start" if index == 0 else "end" if last else "middle"
        text = f"{whole(tick)} {currency}" if last else whole(tick)
        marks.append(_svg('<path class="grid" d="M{} 0V{}"/>', x, bottom))
        marks.append(_label(x, bottom + 20, text, f"{anchor} tick-label"))
    return Markup("").join(marks)


def _label(x: int, y: int, text: str, classes: str = "") -> Markup:
    return _svg('<text class="{}" x="{}" y="{}">{}</text>', classes, x, y, text)


def _named(offer: Offer) -> str:
    return f"{offer.rank}. {offer.provider}"


def _gain(offer: Offer) -> str:
    if offer.gain_from_group == 0:
        return "no difference"
    more_or_less = "less" if offer.gain_from_group > 0 else "more"
    return f"together {money(abs(offer.gain_from_group))} {more_or_less}"


def _svg(template: str, *values: object) -> Markup:
    return Markup(template).format(*values)  # noqa: S704 # the template is ours; `format` of Markup escapes every value


def _round_step(least: Decimal) -> Decimal:
    magnitude = Decimal(1).scaleb(least.adjusted())
    return next(magnitude * step for step in STEPS if magnitude * step >= least)
