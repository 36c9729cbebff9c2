"""What a system in memory leaves behind, for the independent checker."""

from datetime import UTC, datetime

from linepool.checker.collect import Place, read_tables
from linepool.checker.history import History, Mail, Record
from linepool.checker.judge import check
from linepool.checker.report import Report
from tests.flow.purchase import Purchase
from tests.flow.system import Parts
from tests.memory import record_time


async def judged(parts: Parts, *purchases: Purchase, also_to: tuple[str, ...] = ()) -> Report:
    """Judge all that was said and kept; of the mails, those to the people of these purchases, and to these addresses."""
    place = Place(bootstrap_servers="", username="", password="", admin_dsn=parts.dsn)
    return check(
        History(
            records=tuple(
                Record(
                    topic=one.topic,
                    partition=one.partition,
                    offset=one.offset,
                    appended_at=record_time(one),
                    key=one.key,
                    value=one.value,
                    headers=tuple(one.headers),
                )
                for records in parts.kafka.topics.values()
                for one in records
            ),
            tables=await read_tables(place),
            mails=tuple(
                mail for purchase in purchases for mail in mails_to(parts, purchase, also_to=also_to)
            ),
            read_at=datetime.now(UTC),
        )
    )


def mails_to(parts: Parts, purchase: Purchase, *, also_to: tuple[str, ...] = ()) -> list[Mail]:
    """Return the mails to a purchase's people, as the mail server kept them."""
    addresses = {*(purchase.contact(number).email for number in range(purchase.buyers + 1)), *also_to}
    mails = [Mail(file.name, file.read_bytes()) for file in sorted(parts.mail.folder.glob("*.eml"))]
    return [mail for mail in mails if any(address in mail.recipients for address in addresses)]
