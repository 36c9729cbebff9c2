"""What one provider is answered tells nothing of what others say, also where one batch brings messages of many."""

from shared.envelope import read_headers
from shared.record import Record
from tests.memory import MemoryKafka, Running, _copy
from tests.service.bidding.bidding_facts import AIKO, BRIO, CORA, UNLISTED, Purchase
from tests.service.bidding.bidding_talk import announce

EVERYONE = (BRIO, AIKO, UNLISTED, CORA)


async def test_an_answer_belongs_to_the_conversation_of_its_own_message(
    desk: Running, kafka: MemoryKafka
) -> None:
    purchase, unknown = Purchase(), Purchase()
    announce(kafka, purchase)
    await kafka.settle()
    said = {}
    for provider in EVERYONE:
        for reply in (purchase.reply(), unknown.reply()):
            kafka.from_provider(provider, reply, at=purchase.in_time)
        kafka.append(f"replies.{provider}", b"noise", (), None)
        records = kafka.topics[f"replies.{provider}"]
        said[provider] = {Record.of(record).inbox_id for record in records}
    stream = next(one for one in desk.service.wiring.streams.values() if one.kind == "batches")
    together = tuple(_copy(one) for provider in EVERYONE for one in kafka.topics[f"replies.{provider}"])
    await stream.subscriber.process_message(together)
    for provider in EVERYONE:
        desk.next[stream.consumer, f"replies.{provider}"] = len(kafka.topics[f"replies.{provider}"])
    await kafka.settle()
    for provider in EVERYONE:
        notices = kafka.topics[f"notices.{provider}"]
        assert {read_headers(one.headers).causation_id for one in notices} == said[provider]
        for notice in notices:
            headers = dict(notice.headers)
            cause = headers["ce_causationid"]
            assert headers["ce_correlationid"] == cause
            assert headers["traceparent"].split(b"-")[1] == cause.replace(b"-", b"")
        sequences = [read_headers(one.headers).sequence for one in notices]
        assert sequences == [1, 2, 3]
