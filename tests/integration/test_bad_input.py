"""Bad input on the wire: each gets a clear answer, and nothing else is lost or delayed."""

from uuid import uuid4

from shared.messages.aggregation import AggregationCommandRefused, OpenGroup
from shared.messages.bidding import MessageRejected
from shared.messages.providers import ReplySubmitted
from tests.flow.purchase import buy
from tests.integration.system import PROVIDERS, RealSystem


async def test_bad_input_is_answered_and_a_purchase_beside_it_goes_on(system: RealSystem) -> None:
    bad = PROVIDERS[2]
    topic = f"replies.{bad}"
    reply = system.purchase().reply(0)
    typed = ("ce_type", ReplySubmitted.type().encode())
    hostile = {
        "unreadable": ([typed], b"\xff{"),
        "foreign": ([typed], reply.to_bytes()),
        "large": ([typed], b'{"x": "' + b"x" * 1_000_000 + b'"}'),
        "untyped": ([("ce_type", None)], b"{}"),
        "not utf-8": ([("ce_type", b"\xff\xfe")], b"{}"),
        "answer me": ([typed, ("reply_to", b"aggregation.events")], b"{}"),
    }
    ids = {name: str(uuid4()) for name in hostile}
    for name, (headers, body) in hostile.items():
        await system.send(bad, topic, body, headers=[("ce_id", ids[name].encode()), *headers])
    command = uuid4()
    headers = [("ce_id", str(command).encode()), ("ce_type", OpenGroup.type().encode()), ("ce_actor", None)]
    headers.append(("reply_to", b"aggregation.events"))
    await system.send("portal", "aggregation.commands", b"{", key=b"nobody", headers=headers)
    purchase = system.purchase()
    await buy(system, purchase, seconds=system.soon)
    await system.rest()
    await system.complete(purchase)
    rejected = {one.message_id: one.reason for one in system.journal.all_of(MessageRejected)}
    reasons = {name: rejected.get(id_) for name, id_ in ids.items()}
    assert reasons == {
        "unreadable": "unreadable",
        "foreign": "unknown_purchase",
        "large": "too_large",
        "untyped": "unknown_type",
        "not utf-8": "unknown_type",
        "answer me": "invalid",
    }
    refusals = [entry for entry in system.journal.entries if entry.envelope.causation_id == command]
    assert len(refusals) == 1
    assert not system.journal.all_of(AggregationCommandRefused) or refusals[0].topic == "aggregation.events"
    # Nothing stands on our topics that our own relays did not send.
    strangers = [
        entry
        for entry in system.journal.entries
        if entry.topic == "aggregation.events"
        and not dict(entry.headers).get("ce_source", b"").startswith(b"/linepool/")
    ]
    assert strangers == []
