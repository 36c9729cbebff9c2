"""The demonstration as one page: self-contained HTML that works from a file, in print, in the dark, and without scripts."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from linepool.demo import figures, plots
from linepool.demo.story import Story

TEMPLATES = Path(__file__).parent / "templates"


def render(story: Story) -> str:
    """Return the page. Every figure on it stands in the story or follows from its figures; every text is escaped."""
    page = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page.filters.update(
        money=figures.money,
        signed_money=figures.signed_money,
        whole=figures.whole,
        number=figures.number,
        clock=figures.clock,
        day_and_clock=figures.day_and_clock,
    )
    return page.get_template("page.html.j2").render(
        story=story,
        share=figures.share,
        offer_bars=plots.offer_bars(story.offers, story.currency),
        saving_strip=plots.saving_strip(story.offers, story.buyers, story.currency),
        alone_or_together=plots.alone_or_together(story.offers, story.currency),
    )
