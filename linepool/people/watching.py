"""Following a purchase live."""

from linepool.people.asking import Purchase
from linepool.people.showing import clean, console, moment

_OVER = {"linepool.terms-accepted.v1", "linepool.request-cancelled.v1", "linepool.group-dissolved.v1"}


def watch(purchase: Purchase) -> None:
    """Print what has happened and what happens, as it happens, until the purchase is over or somebody stops it."""
    for fact in purchase.api.follow(f"/purchases/{purchase.id}/progress"):
        name = str(fact["type"]).removeprefix("linepool.").rpartition(".")[0].replace("-", " ")
        reason = f": {fact['reason']}" if fact["reason"] else ""
        console.print(f"{moment(fact['said_at'], purchase.zone)}  {clean(name + reason)}")
        if fact["type"] in _OVER:
            return
