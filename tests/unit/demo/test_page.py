"""The demonstration's page: complete, self-contained, honest, and safe whatever names it shows."""

import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linepool.demo.figures import clock, money, share, signed_money, whole
from linepool.demo.page import render
from linepool.demo.plots import LEFT, RIGHT, Scale
from linepool.demo.story import Story
from tests.unit.demo.a_story import NOON, a_story, an_offer, told_by_a_stranger

VOID = {"meta", "br"}
HARMLESS = "longer than what is shown of a hash"


class Page(HTMLParser):
    """The page as a browser would read it: its elements, its attributes and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.found: dict[str, str] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())


def read(story: Story) -> Page:
    return Page(render(story))


def section(story: Story, name: str) -> str:
    html = render(story)
    start = html.index(f'<section id="{name}"')
    return Page(html[start : html.index("</section>", start) + len("</section>")]).text


def test_every_element_that_is_opened_is_closed() -> None:
    page = read(a_story())

    assert page.open == []
    assert [page.elements.count(tag) for tag in ("html", "main", "h1", "svg", "table")] == [1, 1, 1, 3, 6]


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    html = render(a_story())
    page = Page(html)

    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.elements)
    assert [
        value for name, value in page.attributes if name == "href" and not (value or "").startswith("#")
    ] == []
    assert not {"src", "srcset", "action", "xlink:href", "data"} & {name for name, _ in page.attributes}
    assert not re.search(r"url\(|@import|https?://|//[a-z]", html)
    assert "default-src 'none'; style-src 'unsafe-inline'" in [value for _, value in page.attributes]


def test_every_link_on_the_page_has_its_target() -> None:
    attributes = read(a_story()).attributes

    targets = {f"#{value}" for name, value in attributes if name == "id"}
    assert {value for name, value in attributes if name == "href"} <= targets


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '"><svg onload=alert(1)>',
        "' onmouseover='alert(1)",
        "</style></title><img src=x onerror=alert(1)>",
        "&lt;b&gt; & {{ story.group }} {% raw %} {0.__class__}",
    ],
)
def test_markup_in_any_name_is_only_text(hostile: str) -> None:
    harmless, page = (
        read(told_by_a_stranger(a_story(), HARMLESS)),
        read(told_by_a_stranger(a_story(), hostile)),
    )

    assert page.elements == harmless.elements
    assert [name for name, _ in page.attributes] == [name for name, _ in harmless.attributes]
    expected = " ".join(hostile.split())
    assert page.text.count(expected) == harmless.text.count(HARMLESS)


def test_each_plot_is_well_formed_and_told_to_those_who_do_not_see_it() -> None:
    drawings = re.findall(r"<svg.*?</svg>", render(told_by_a_stranger(a_story(), "<&\"'>")), re.DOTALL)

    assert len(drawings) == 3
    for drawing in drawings:
        root = ET.fromstring(drawing)  # noqa: S314 # our own drawing
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert root.findtext("desc")


def test_the_page_says_plainly_what_is_not_real() -> None:
    text = read(a_story()).text

    assert "The offers are invented." in text
    assert "mlc_churn, a data set that is artificial by its own account" in text
    assert "Recurring charges are 0.00 for every line, because the data set has none" in text
    assert "whoever runs it had the opener\N{RIGHT SINGLE QUOTATION MARK}s secret too" in text
    assert "6 processes (five services and the opener)" in text


def test_the_page_says_what_an_operator_could_read_before_the_opening_and_when_that_was() -> None:
    text = section(a_story(), "sealed")

    for figure in ("9 messages", "1,715 values", "4,321 characters of ciphertext", "q80Sxo", "12:00:09"):
        assert figure in text


def test_the_page_shows_how_a_receipt_was_verified() -> None:
    text = section(a_story(), "receipt")

    assert "linepool provider verify" in text
    assert "The receipt is proved." in text
    assert "WRONG: it is not." in text


def test_the_page_shows_a_question_and_its_answer_and_not_who_asked() -> None:
    text = section(a_story(), "question")

    assert "all 3 listed providers were told" in text
    assert "How wide is the gate? Three metres." in text
    assert "Provider" not in text


def test_the_comparison_shows_every_figure_of_every_offer() -> None:
    text = section(a_story(), "comparison")

    for figure in (
        "1,245.55",
        "254.95",
        "17.0\N{NO-BREAK SPACE}%",
        "901.01",
        "1,703.03",
        "1,404.04",
        "158.49",
    ):
        assert " ".join(figure.split()) in text, figure
    assert "1,600.60\N{MINUS SIGN}100.10" in text.replace(" ", "")
    assert "1 of 2worst: 155.15 more, Harbour Freight" in text
    assert "the group costs 196.56" in text


def test_each_buyer_has_its_row_and_the_selected_offer_alone() -> None:
    text = section(a_story(), "buyers")

    assert "Northgate Clinics GB-COH 04512378 75 1,000.00 801.11 +198.89 944.95 +55.05 903.03".replace(
        " ", ""
    ) in (text.replace(" ", ""))
    assert "655.65\N{MINUS SIGN}155.15501.01" in text.replace(" ", "")


def test_the_ledger_says_who_was_shown_what_when_and_under_which_qualification() -> None:
    text = section(a_story(), "shown")

    assert "12:00:09" in text
    assert "Provider 1" in text
    assert "the whole request" in text
    assert "Qualification 7" in text
    assert "valid until 2026-05-04 12:00 UTC" in text


def test_what_was_refused_is_shown_in_the_words_of_who_refused_it() -> None:
    text = section(a_story(), "refused")

    assert "invitations.abc" in text
    assert "TopicAuthorizationFailed" in text
    assert "late" in text
    assert "It came after the deadline." in text


def test_a_purchase_without_intruders_or_rejections_says_so() -> None:
    text = section(a_story(intruders=(), rejections=()), "refused")

    assert "Nobody tried." in text
    assert "None were." in text


def test_an_invariant_is_held_only_if_something_was_looked_at_and_nothing_broke_it() -> None:
    text = section(a_story(), "checks").partition("breaks one of these.")[2]

    assert re.findall(r"(held|broken 2 times|not checked)", text) == ["held", "broken 2 times", "not checked"]


def test_the_crash_says_what_was_lost_and_doubled() -> None:
    text = section(a_story(crash=replace(a_story().crash, lost=3, doubled=5)), "crash")

    assert "Lost3Doubled5" in text.replace(" ", "")
    assert "3 lost and 5 doubled" in read(a_story(crash=replace(a_story().crash, lost=3, doubled=5))).text


def test_each_step_says_what_moved_over_which_topic() -> None:
    text = section(a_story(), "purchase")

    assert "2\N{MULTIPLICATION SIGN} AddBuyer aggregation.commands" in text
    assert "GroupAggregated aggregation.events" in text
    assert "\N{MULTIPLICATION SIGN} GroupAggregated" not in text


def test_mails_keep_their_columns() -> None:
    assert '<pre class="wide" tabindex="0">Hello Ada,\n\n    1  2\n</pre>' in render(a_story())


def test_a_group_that_saves_nothing_is_not_said_to_save() -> None:
    offers = (an_offer(1, "1600.60", selected=True), an_offer(2, "1700.70"))
    title = re.search(r"<h1>(.*?)</h1>", render(a_story(offers=offers)))

    assert title is not None
    assert title[1] == "2 buyers ask once"


def test_bars_are_as_long_as_their_totals() -> None:
    widths = [
        int(width)
        for width in re.findall(r'class="bar[^"]*" x="\d+" y="\d+" width="(\d+)"', render(a_story()))
    ]

    assert widths[1] * 1245.55 / 1600.60 == pytest.approx(widths[0], abs=1.2)


def test_a_buyer_that_pays_more_stands_left_of_zero() -> None:
    html = render(a_story())
    zero = re.search(r'class="zero" d="M(\d+) ', html)
    more = re.findall(r'class="tick more" d="M(\d+) ', html)
    less = re.findall(r'class="tick less" d="M(\d+) ', html)

    assert zero is not None
    assert [int(x) < int(zero[1]) for x in more] == [True]
    assert [int(x) > int(zero[1]) for x in less] == [True, True, True]


amounts = st.decimals("-1e9", "1e9", places=2, allow_nan=False)


@given(st.lists(amounts, min_size=1, max_size=30))
def test_a_scale_holds_all_its_amounts_in_order_between_round_ticks(given_amounts: list[Decimal]) -> None:
    scale = Scale(given_amounts)

    places = [scale.x(amount) for amount in sorted(given_amounts)]
    assert places == sorted(places)
    assert LEFT <= places[0] <= places[-1] <= RIGHT
    assert 2 <= len(scale.ticks) <= 7
    assert scale.ticks[0] <= min(given_amounts)
    assert scale.ticks[-1] >= max(given_amounts)


def test_figures_are_written_to_the_cent_with_a_true_minus_sign() -> None:
    assert money(Decimal("-1234567.8")) == "\N{MINUS SIGN}1,234,567.80"
    assert signed_money(Decimal("5.5")) == "+5.50"
    assert signed_money(Decimal(0)) == "0.00"
    assert whole(Decimal("1234.5")) == "1,235"
    assert share(Decimal(-1), Decimal(3)) == "\N{MINUS SIGN}33.3\N{NO-BREAK SPACE}%"
    assert share(Decimal(1), Decimal(0)) == "\N{EN DASH}"
    assert clock(NOON + timedelta(seconds=1)) == "12:00:10"
