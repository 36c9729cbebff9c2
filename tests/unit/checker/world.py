"""A small purchase from beginning to end, as a stack would leave it: a history in which nothing is wrong.

A `World` can be changed before it is looked at: that is how violations are planted.
"""

import json
from base64 import b64encode
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

from argon2 import PasswordHasher

from linepool.checker.history import READERS, SERVICES, History, Mail, Record, as_time, readers_of
from linepool.receipts.chain import Head, beginning, follow
from linepool.receipts.checkpoint import Tree, grow
from shared.chain import LogEntry
from shared.documents import manifest_of, split
from shared.envelope import Envelope
from shared.messages import aggregation, bidding, distribution, notification, people, rfp
from shared.messages.base import PART_BYTES, Message
from shared.messages.providers import (
    AccessRequested,
    InvitationAcknowledged,
    InvitationDeclined,
    Offer,
    ProviderMessage,
    QuestionAsked,
    ReplySubmitted,
    ReplyWithdrawn,
    TermsDocument,
    TermsPartSent,
    TermsProposed,
)
from shared.sealing import box_key_purpose, offer_info, private_key, public_key_b64, seal_for
from shared.terms_digest import terms_digest

BEGIN = datetime(2026, 5, 1, 8, tzinfo=UTC)
NAMES = UUID("9c1f0f52-0000-4000-8000-000000000000")
PURCHASE = UUID("9c1f0f52-0000-4000-8000-000000000001")
COORDINATOR = UUID("9c1f0f52-0000-4000-8000-000000000002")
BUYERS = (UUID("9c1f0f52-0000-4000-8000-00000000000a"), UUID("9c1f0f52-0000-4000-8000-00000000000b"))
REPORTS = (UUID("9c1f0f52-0000-4000-8000-0000000000aa"), UUID("9c1f0f52-0000-4000-8000-0000000000bb"))
FIRST, SECOND, STRANGER = "first0000001", "second000001", "stranger0001"
PASSWORD = "7G3KZ0P9QXW2M4NBVC8RT5YHJD"
LINK, CODE = "9ZQ4T7XW0KD2B8N5VR3HJ6MPCY", "4XK9TQ2W"
INVITED = UUID("9c1f0f52-0000-4000-8000-000000000003")
EVE, NEW_ADDRESS = "eve@linepool.example", "ada@new.example"
SNAPSHOT = "a" * 64
POLICY = rfp.QualificationPolicy(
    coordinator_level="registry_matched", buyer_level="address_confirmed", buyers=1
)
DEADLINE = BEGIN + timedelta(days=2)
CONTENT = b'{"title":"Voice"}'
USAGE = b"line_id\nL-1\n"
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


def named(name: str) -> UUID:
    return uuid5(NAMES, name)


def line(line_id: str, minutes: str, charged: str) -> aggregation.LineUsage:
    used = aggregation.ServiceUsage(
        service="voice.day", quantity=Decimal(minutes), unit="MIN", charged=Decimal(charged)
    )
    return aggregation.LineUsage(
        line_id=line_id,
        services=(used,),
        recurring_charged=Decimal("5.00"),
        contract_end=date(2026, 12, 31),
        exit_fee=Decimal("0.00"),
    )


LINES = ((line("L-1", "100.5", "17.09"), line("L-2", "10", "1.70")), (line("L-3", "200", "34.00"),))


def offer(components: list[dict[str, Any]]) -> Offer:
    return Offer.model_validate(
        {
            "name": "An offer",
            "currency": "EUR",
            "tax_basis": "net",
            "contract_months": 12,
            "components": components,
            "billing": "monthly",
        }
    )


CHEAP = offer([{"kind": "usage", "service": "voice.day", "unit": "MIN", "price": "0.15"}])
"""Costs 16.58 and 30.00 a month: 558.96 over the term."""
TIERED = offer(
    [
        {
            "kind": "usage",
            "service": "voice.day",
            "unit": "MIN",
            "tiers": [{"from_volume": "0", "price": "0.20"}, {"from_volume": "300", "price": "0.10"}],
        },
        {"kind": "recurring", "per": "line", "price": "5.00"},
        {"kind": "one_time", "per": "buyer", "price": "10.00"},
    ]
)
"""Costs 31.05 for minutes and 15.00 for lines a month, and 20.00 once: 572.60 over the term."""

REPLIES = ((FIRST, 1, TIERED), (FIRST, 2, CHEAP), (SECOND, 1, TIERED))
"""What is replied, in this order."""
PUBLIC_KEY = public_key_b64(private_key(bytes(32), box_key_purpose(PURCHASE, 1)))
"""What replies are sealed to, where they are."""


@dataclass
class World:
    """Everything that a stack leaves behind, still open to change."""

    sealed: bool = False
    """Whether replies are sealed, and the opener is there."""
    records: list[Record] = field(default_factory=list)
    tables: dict[str, dict[str, list[dict[str, Any]]]] = field(
        default_factory=lambda: {service: {"log": [], "outbox": [], "parked": []} for service in SERVICES}
    )
    mails: list[Mail] = field(default_factory=list)
    logs: dict[str, bytes] = field(default_factory=dict)
    now: datetime = BEGIN
    heads: dict[str, Head] = field(default_factory=dict)
    trees: list[tuple[int, Tree]] = field(default_factory=list)

    def append(
        self, topic: str, value: bytes | None, headers: list[tuple[str, bytes]], key: bytes | None = None
    ) -> Record:
        """Append one record, a second after the one before."""
        self.now += timedelta(seconds=1)
        offset = sum(record.topic == topic for record in self.records)
        record = Record(topic, 0, offset, self.now, key, value, tuple(headers))
        self.records.append(record)
        return record

    def say(
        self,
        service: str,
        message: Message,
        *,
        to: str = "",
        id_: UUID | None = None,
        log: bool = True,
        by: UUID | None = None,
    ) -> Record:
        """Let a service say something, with its version and, on its own streams, its log entry."""
        topic = message.stream + to
        subject = "" if to else message.subject
        source = f"/linepool/{service}"
        before = {
            record.id
            for record in self.records
            if record.topic == topic
            and record.header("ce_source") == source
            and (to or record.subject == message.subject)
        }
        id_ = id_ or named(f"{topic}/{subject}/{len(self.records)}")
        envelope = Envelope(
            id=id_,
            type=message.type(),
            source=source,
            subject=message.subject,
            time=self.now,
            sequence=len(before) + 1,
            correlation_id=PURCHASE,
            causation_id=named("cause"),
            actor_id=by,
        )
        record = self.append(
            topic, message.to_bytes(), envelope.to_headers(), (to or message.subject).encode()
        )
        return self.log(service, record) if not to and log else record

    def log(self, service: str, record: Record) -> Record:
        """Write the log's entry, chained to the one before, and its head onto the record; return that."""
        rows = self.tables[service]["log"]
        chain = next(
            (
                row["chain"]
                for row in reversed(rows)
                if (row["stream"], row["subject"]) == (record.topic, record.subject)
            ),
            b"",
        )
        entry = LogEntry(
            sequence=record.sequence or 0,
            event_id=UUID(record.id),
            type=record.header("ce_type"),
            cause_id=named("cause"),
            actor_id=UUID(record.header("ce_actorid")) if record.header("ce_actorid") else None,
            decided_at=as_time(record.header("ce_time")),
            body_sha256=sha256(record.value or b"").digest(),
        )
        head = entry.head_after(chain)
        rows.append(
            {"stream": record.topic, "subject": record.subject, "chain": head}
            | {name: getattr(entry, name) for name in entry.__dataclass_fields__}
        )
        headers = [one for one in record.headers if one[0] != "ce_loghead"]
        said = replace(record, headers=(*headers, ("ce_loghead", head.hex().encode())))
        self.records[self.records.index(record)] = said
        return said

    def submit(self, provider: str, value: bytes, id_: str) -> Record:
        """Let a provider write to its topic."""
        type_ = ReplySubmitted.type().encode()
        return self.append(f"replies.{provider}", value, [("ce_id", id_.encode()), ("ce_type", type_)])

    def take(self, provider: str, word: ProviderMessage, id_: str) -> Record:
        """Let a provider say something that is no reply, and bidding take it."""
        headers = [("ce_id", id_.encode()), ("ce_type", word.type().encode())]
        record = self.append(f"replies.{provider}", word.to_bytes(), headers)
        self.receipt(record, None)
        self.keep_chains()
        return record

    def mail(
        self, person_id: UUID, address: str, kind: str, text: str, *, purchase: UUID | None = PURCHASE
    ) -> None:
        """Let notification send a mail, and say so."""
        message_id = f"<{kind}@linepool.example>"
        raw = f"Message-ID: {message_id}\nTo: Somebody <{address}>\nSubject: News\n\nHello,\n\n{text}\n"
        self.mails.append(Mail(f"{len(self.mails) + 1}.eml", raw.encode()))
        delivered = notification.MailDelivered(
            purchase_id=purchase, person_id=person_id, kind=kind, message_id=message_id
        )
        self.say("notification", delivered)

    def keep_chains(self) -> None:
        """Let bidding's table have the ends of all chains."""
        self.tables["bidding"]["chains"] = [
            {"provider_id": provider, "number": head.number, "head": head.hash}
            for provider, head in self.heads.items()
        ]

    def receipt(self, submitted: Record, reply_id: UUID | None, *, id_: UUID | None = None) -> Record:
        """Let bidding take what a provider wrote."""
        message = bidding.ReceiptIssued(
            purchase_id=PURCHASE,
            message_id=submitted.id,
            message_type=submitted.header("ce_type"),
            sha256=sha256(submitted.value or b"").hexdigest(),
            appended_at=submitted.appended_at,
            reply_id=reply_id,
        )
        return self.answer(submitted.provider, message, id_=id_)

    def answer(
        self,
        provider: str,
        message: bidding.ReceiptIssued | bidding.MessageRejected,
        *,
        id_: UUID | None = None,
    ) -> Record:
        """Let bidding answer a provider, as the next of its chain."""
        head = follow(self.heads.get(provider) or beginning(provider), message.model_dump(mode="json"))
        self.heads[provider] = head
        chain = bidding.ChainLink(number=head.number, head=head.hash.hex(), signature="")
        return self.say("bidding", message.model_copy(update={"chain": chain}), to=provider, id_=id_)

    def checkpoint(self, number: int) -> None:
        """Let bidding publish a checkpoint over the chains of both listed providers."""
        heads = {provider: self.heads.get(provider) or beginning(provider) for provider in (FIRST, SECOND)}
        tree = grow(bytes(32), PURCHASE, number, heads)
        self.trees.append((number, tree))
        made_at = self.now
        for provider in heads:
            said = bidding.CheckpointPublished(
                purchase_id=PURCHASE,
                number=number,
                made_at=made_at,
                size=1024,
                root=tree.root.hex(),
                signature="",
            )
            self.say("bidding", said, to=provider)

    def prove(self) -> None:
        """Let bidding prove all checkpoints."""
        for number, tree in self.trees:
            for provider in (FIRST, SECOND):
                proof = tree.proof(provider)
                proved = bidding.InclusionProved(
                    purchase_id=PURCHASE,
                    checkpoint=number,
                    chain_number=proof.head.number,
                    chain_head=proof.head.hash.hex(),
                    salt=proof.salt.hex(),
                    leaf=proof.place,
                    path=tuple(one.hex() for one in proof.beside),
                )
                self.say("bidding", proved, to=provider)

    def find(self, type_: str, topic: str = "") -> Record:
        """Return the first record of a type."""
        return next(one for one in self.records if one.type == type_ and one.topic.startswith(topic))

    def replace(self, record: Record, **changes: Any) -> None:
        """Put a changed copy in a record's place; `body` changes fields of its body."""
        body = {**record.body, **changes.pop("body", {})}
        value = changes.pop("value", json.dumps(body).encode())
        copy = Record(**{**{name: getattr(record, name) for name in record.__dataclass_fields__}, **changes})
        copy = Record(
            copy.topic, copy.partition, copy.offset, copy.appended_at, copy.key, value, copy.headers
        )
        self.records[self.records.index(record)] = copy

    def restamp(self, service: str) -> None:
        """Let a service's log agree with its records again, so that only the planted change is wrong."""
        old = self.tables[service]["log"]
        self.tables[service]["log"] = []
        said = {record.id: record for record in self.records}
        for row in old:
            self.log(service, said[str(row["event_id"])])

    def history(self, *, at_rest: bool = True) -> History:
        """Return what is there now; consumers have read everything, unless it is not at rest."""
        ends: dict[tuple[str, int], int] = {}
        for record in self.records:
            place = (record.topic, record.partition)
            ends[place] = max(ends.get(place, 0), record.offset + 1)
        positions: dict[str, list[dict[str, Any]]] = {service: [] for service in SERVICES}
        for (topic, partition), end in ends.items() if at_rest else ():
            for consumer in readers_of(topic):
                row = {"consumer": consumer, "topic": topic, "partition": partition, "next": end}
                positions[consumer.partition(".")[0]].append(row)
        tables = {
            service: {
                "positions": tuple(positions.get(service, ())),
                **{name: tuple(rows) for name, rows in tables.items()},
            }
            for service, tables in self.tables.items()
        }
        return History(tuple(self.records), tables, tuple(self.mails), self.logs)


def a_purchase(*, sealed: bool = False) -> World:
    """Return a world in which two providers were invited, three replies came, and one was selected."""
    assert READERS
    world = World(sealed)
    _aggregate(world)
    _issue(world)
    _distribute(world)
    _bid(world)
    _compare(world)
    _select(world)
    _invite(world)
    if sealed:
        _open(world)
    return world


def _aggregate(world: World) -> None:
    tables = world.tables["aggregation"]

    def say(message: Message) -> None:
        world.say("aggregation", message)

    opened = aggregation.GroupOpened(
        purchase_id=PURCHASE, name="Group", currency="EUR", tax_basis="net", coordinator_id=COORDINATOR
    )
    say(opened)
    say(aggregation.ContactRecorded(person_id=COORDINATOR, name="Ada", email="ada@linepool.example"))
    say(
        aggregation.CredentialAssigned(
            person_id=COORDINATOR,
            purchase_id=PURCHASE,
            number=1,
            state="assigned",
            verifier=HASHER.hash(PASSWORD),
            sealed_password=b64encode(b"sealed").decode(),
            expires_at=BEGIN + timedelta(hours=72),
        )
    )
    period = aggregation.Period(start=date(2026, 4, 1), end=date(2026, 4, 30), months=1)
    for buyer, report, lines in zip(BUYERS, REPORTS, LINES, strict=True):
        say(
            aggregation.UsageLinesReported(
                purchase_id=PURCHASE, buyer_id=buyer, report_id=report, part=1, parts=1, lines=lines
            )
        )
    say(
        aggregation.GroupAggregated(
            purchase_id=PURCHASE,
            name="Group",
            currency="EUR",
            tax_basis="net",
            coordinator_id=COORDINATOR,
            buyer_ids=BUYERS,
            reports=dict(zip(BUYERS, REPORTS, strict=True)),
            period=period,
            lines=3,
            usage_digest="b" * 64,
            snapshot=SNAPSHOT,
        )
    )
    tables["groups"] = [{"purchase_id": PURCHASE, "opened_at": BEGIN, "closed_at": BEGIN}]
    tables["credentials"] = [
        {
            "purchase_id": PURCHASE,
            "person_id": COORDINATOR,
            "number": 1,
            "cause_id": named("c"),
            "assigned_at": BEGIN,
        }
    ]
    message_id = "<initial@linepool.example>"
    text = f"Hello Ada,\n\nthis is your initial password:\n\n    {PASSWORD}\n"
    raw = (
        f"Message-ID: {message_id}\nTo: Ada <ada@linepool.example>\nSubject: Your initial password\n\n{text}"
    )
    world.mails.append(Mail("1.eml", raw.encode()))
    delivered = notification.MailDelivered(
        purchase_id=PURCHASE, person_id=COORDINATOR, kind="initial_password", message_id=message_id
    )
    world.say("notification", delivered)


def _invite(world: World) -> None:
    """Let somebody be invited by a link, and the coordinator want another address."""
    world.say("aggregation", aggregation.ContactRecorded(person_id=INVITED, name="Eve", email=EVE))
    world.say(
        "aggregation",
        people.InvitationLinkAssigned(
            invitation_id=named("invitation"),
            purchase_id=PURCHASE,
            person_id=INVITED,
            number=1,
            sha256=sha256(LINK.encode()).hexdigest(),
            sealed_secret=b64encode(b"sealed").decode(),
            expires_at=BEGIN + timedelta(days=14),
            contact_version=1,
        ),
    )
    world.say(
        "aggregation",
        aggregation.ContactRecorded(
            person_id=COORDINATOR, name="Ada", email="ada@linepool.example", unconfirmed_email=NEW_ADDRESS
        ),
    )
    world.say(
        "aggregation",
        people.AddressCodeAssigned(
            person_id=COORDINATOR,
            number=1,
            verifier=HASHER.hash(CODE),
            sealed_code=b64encode(b"sealed").decode(),
            expires_at=BEGIN + timedelta(minutes=30),
            contact_version=2,
        ),
    )
    world.mail(INVITED, EVE, "invitation", f"this is your link:\n\n    https://x.example/join/{LINK}")
    world.mail(COORDINATOR, NEW_ADDRESS, "address_code", f"this is your code:\n\n    {CODE}", purchase=None)


def _issue(world: World) -> None:
    drafted = rfp.RequestDrafted(
        purchase_id=PURCHASE, snapshot=SNAPSHOT, usage_digest="b" * 64, policy=POLICY
    )
    world.say("rfp", drafted)
    content = manifest_of("request.json", CONTENT)
    usage = manifest_of("usage.csv", USAGE)
    for document, bytes_ in ((content, CONTENT), (usage, USAGE)):
        for number, data in split(document, bytes_):
            part = rfp.RequestDocumentPart(
                purchase_id=PURCHASE, document=document, request_version=1, part=number, data=data
            )
            world.say("rfp", part)
    issued = rfp.RequestIssued(
        purchase_id=PURCHASE,
        request_version=1,
        title="Voice",
        content=content,
        documents=(usage,),
        snapshot=SNAPSHOT,
        usage_digest="b" * 64,
        provider_ids=(FIRST, SECOND),
        services=(rfp.ServiceNeed(service="voice.day", unit="MIN", description="Calls by day"),),
        deadline=DEADLINE,
        contract_months=12,
        mode="transmit",
        buyers_shown="named",
        currency="EUR",
        tax_basis="net",
    )
    world.say("rfp", issued)
    world.say("bidding", _ready(world))
    for party, party_id in (("coordinator", COORDINATOR), ("buyer", BUYERS[0])):
        verified = {"purchase_id": PURCHASE, "snapshot": SNAPSHOT, "party": party, "party_id": party_id}
        valid_until = BEGIN + timedelta(days=30)
        world.say("rfp", rfp.BuyerVerified.model_validate({**verified, "valid_until": valid_until}))
    qualified = rfp.GroupQualified(
        purchase_id=PURCHASE,
        number=1,
        snapshot=SNAPSHOT,
        valid_until=BEGIN + timedelta(days=30),
        policy=POLICY,
    )
    world.say("rfp", qualified)
    world.tables["rfp"]["requests"] = [{"purchase_id": PURCHASE, "issued_at": world.now}]


def _ready(world: World) -> bidding.BidBoxReady:
    if not world.sealed:
        return bidding.BidBoxReady(purchase_id=PURCHASE, request_version=1, seal="none")
    return bidding.BidBoxReady(
        purchase_id=PURCHASE, request_version=1, seal="hpke", public_key=PUBLIC_KEY, key_signature="AAAA"
    )


def _distribute(world: World) -> None:
    tables = world.tables["distribution"]
    tables["disclosures"] = []
    tables["inbox"] = []
    content, usage = manifest_of("request.json", CONTENT), manifest_of("usage.csv", USAGE)
    for provider in (FIRST, SECOND):
        world.say(
            "distribution",
            distribution.RequestPresented(
                purchase_id=PURCHASE,
                request_version=1,
                title="Voice",
                deadline=DEADLINE,
                mode="transmit",
                seal="hpke" if world.sealed else "none",
                content=content,
                content_json=CONTENT.decode(),
                documents=(usage,),
            ),
            to=provider,
        )
        for number, data in split(usage, USAGE):
            part = distribution.PresentedDocumentPart(
                purchase_id=PURCHASE, document=usage, request_version=1, part=number, data=data
            )
            world.say("distribution", part, to=provider)
        invited = distribution.ProviderInvited(
            purchase_id=PURCHASE,
            request_version=1,
            provider_id=provider,
            mode="transmit",
            content_sha256=content.sha256,
            qualification=1,
        )
        world.say("distribution", invited)
        tables["disclosures"].append(
            {
                "purchase_id": PURCHASE,
                "request_version": 1,
                "provider_id": provider,
                "content_sha256": content.sha256,
                "qualification": 1,
                "disclosed_at": world.now,
                "cause_id": named(f"invitation/{provider}"),
            }
        )
    world.say(
        "distribution", distribution.RequestDistributed(purchase_id=PURCHASE, request_version=1, invited=2)
    )
    tables["requests"] = [{"purchase_id": PURCHASE, "request_version": 1, "opened_at": world.now}]


def _bid(world: World) -> None:
    world.checkpoint(1)
    for provider, revision, offered in REPLIES:
        submitted = world.submit(
            provider, _reply(world, provider, revision, offered).to_bytes(), f"{provider}-{revision}"
        )
        world.receipt(submitted, named(f"reply/{provider}/{revision}"))
    broken = world.submit(STRANGER, b"\xff not json", "x-1")
    world.answer(
        STRANGER,
        bidding.MessageRejected(
            purchase_id=None,
            message_id="x-1",
            sha256=sha256(b"\xff not json").hexdigest(),
            appended_at=broken.appended_at,
            reason="unreadable",
            detail="The message is not JSON.",
        ),
    )


def _reply(world: World, provider: str, revision: int, offered: Offer) -> ReplySubmitted:
    if not world.sealed:
        return ReplySubmitted(
            purchase_id=PURCHASE, request_version=1, revision=revision, seal="none", offer=offered
        )
    box = seal_for(
        PUBLIC_KEY, offered.model_dump_json().encode(), offer_info(PURCHASE, 1, provider, revision)
    )
    return ReplySubmitted(
        purchase_id=PURCHASE, request_version=1, revision=revision, seal="hpke", sealed_offer=box
    )


def _open(world: World) -> None:
    """Let the opener open what stands, a moment after the box was closed."""
    bodies = {
        (record.provider, record.body["revision"]): record.value
        for record in world.records
        if record.type == "reply-submitted" and record.body.get("revision")
    }
    offers = {
        named(f"reply/{provider}/{revision}"): (offered, bodies[provider, revision])
        for provider, revision, offered in REPLIES
    }
    rows = world.tables["bidding"]["replies"]
    for row in rows:
        row["body"] = offers[row["id"]][1]
    world.tables["bidding"]["held_messages"] = []
    world.tables["bidding"]["boxes"][0]["closed_at"] = DEADLINE + timedelta(seconds=2)
    standing = [row["id"] for row in rows if row["standing"] == "evaluated"]
    opened_at = DEADLINE + timedelta(seconds=3)
    world.tables["opener"] = {
        "opened_boxes": [
            {
                "purchase_id": PURCHASE,
                "request_version": 1,
                "opened_at": opened_at,
                "replies": len(standing),
            }
        ],
        "openings": [
            {
                "reply_id": reply_id,
                "purchase_id": PURCHASE,
                "content": offers[reply_id][0].model_dump_json().encode(),
                "failure": None,
            }
            for reply_id in standing
        ],
    }


def _compare(world: World) -> None:
    world.now = DEADLINE
    world.say("rfp", rfp.DeadlinePassed(purchase_id=PURCHASE, request_version=1, deadline=DEADLINE))
    replies = tuple(
        bidding.OpenedReply(
            reply_id=named(f"reply/{provider}/{revision}"),
            provider_id=provider,
            revision=revision,
            appended_at=BEGIN,
            standing=standing,
        )
        for provider, revision, standing in (
            (FIRST, 1, "replaced"),
            (FIRST, 2, "evaluated"),
            (SECOND, 1, "evaluated"),
        )
    )
    world.say(
        "bidding",
        bidding.RepliesOpened(purchase_id=PURCHASE, request_version=1, replies=replies, declined=()),
    )
    world.checkpoint(2)
    world.prove()
    world.keep_chains()
    comparison = b'{"replies":[]}'
    document = manifest_of("comparison.json", comparison)
    for number, data in split(document, comparison):
        part = bidding.ComparisonPart(
            purchase_id=PURCHASE, document=document, request_version=1, part=number, data=data
        )
        world.say("bidding", part)
    ranked = tuple(
        bidding.RankedReply(
            reply_id=named(f"reply/{provider}/{revision}"),
            provider_id=provider,
            rank=rank,
            total=Decimal(total),
            saving=Decimal("813.48") - Decimal(total),
        )
        for provider, revision, rank, total in ((FIRST, 2, 1, "558.96"), (SECOND, 1, 2, "572.60"))
    )
    world.say(
        "bidding",
        bidding.RepliesCompared(
            purchase_id=PURCHASE,
            request_version=1,
            usage_digest="b" * 64,
            charged=Decimal("813.48"),
            replies=ranked,
            comparison_sha256=document.sha256,
        ),
    )
    world.tables["bidding"]["boxes"] = [
        {"purchase_id": PURCHASE, "stage": "compared", "opened_at": world.now, "compared_at": world.now}
    ]
    world.tables["bidding"]["replies"] = [
        {
            "id": reply.reply_id,
            "purchase_id": PURCHASE,
            "provider_id": reply.provider_id,
            "standing": reply.standing,
        }
        for reply in replies
    ]


def _select(world: World) -> None:
    world.say(
        "bidding",
        bidding.ProviderSelected(
            purchase_id=PURCHASE,
            award=1,
            provider_id=FIRST,
            reply_id=named(f"reply/{FIRST}/2"),
            others=(
                bidding.Unsuccessful(
                    provider_id=SECOND, reply_id=named(f"reply/{SECOND}/1"), rank=2, reason="costs more"
                ),
            ),
        ),
    )
    world.tables["bidding"]["awards"] = [
        {
            "purchase_id": PURCHASE,
            "number": 1,
            "provider_id": FIRST,
            "standing": True,
            "cause_id": named("select"),
        }
    ]
    award = notification.AwardNotified(
        purchase_id=PURCHASE, award=1, reply_id=named(f"reply/{FIRST}/2"), buyers=()
    )
    world.say("notification", award, to=FIRST)
    unsuccessful = notification.UnsuccessfulNotified(
        purchase_id=PURCHASE, reply_id=named(f"reply/{SECOND}/1"), rank=2, reason="costs more"
    )
    world.say("notification", unsuccessful, to=SECOND)


def only_offer(world: World) -> None:
    """Change the purchase into one that is offered: the first provider asks and is shown it, a question is answered."""
    content = manifest_of("request.json", CONTENT)
    rows = world.tables["distribution"]["disclosures"]
    world.replace(world.find("request-issued"), body={"mode": "grant"})
    world.restamp("rfp")
    for row in rows:
        row["kind"] = "offered"
    world.replace(world.find("provider-invited"), body={"mode": "grant"})
    world.restamp("distribution")
    shown = [one for one in world.records if one.topic.startswith("invitations.")]
    world.records = [one for one in world.records if one not in shown]
    world.now = max(row["disclosed_at"] for row in rows)
    for provider in (FIRST, SECOND):
        offer_ = distribution.AccessOffered(
            purchase_id=PURCHASE,
            request_version=1,
            title="Voice",
            deadline=DEADLINE,
            content_sha256=content.sha256,
        )
        world.say("distribution", offer_, to=provider)
    world.take(FIRST, AccessRequested(purchase_id=PURCHASE, request_version=1), "asking")
    asked = bidding.AccessRequestReceived(
        purchase_id=PURCHASE,
        request_id=named("asked"),
        provider_id=FIRST,
        request_version=1,
        message_id="asking",
    )
    world.say("bidding", asked)
    granted = {**rows[0], "kind": "granted", "cause_id": named("asked"), "disclosed_at": world.now}
    rows.append(granted)
    world.tables["distribution"]["access_requests"] = [
        {
            "request_id": named("asked"),
            "purchase_id": PURCHASE,
            "provider_id": FIRST,
            "outcome": "granted",
            "decided_at": world.now,
            "cause_id": named("asked"),
        }
    ]
    for record in shown:
        if record.provider == FIRST:
            world.append(record.topic, record.value, [(n, v or b"") for n, v in record.headers], record.key)
            offset = 1 + sum(one.topic == record.topic for one in world.records[:-1])
            headers = tuple(
                (name, str(offset).encode() if name == "ce_sequence" else value)
                for name, value in record.headers
            )
            world.replace(world.records[-1], headers=headers, value=record.value)
    fact = distribution.AccessGranted(
        purchase_id=PURCHASE,
        request_id=named("asked"),
        request_version=1,
        provider_id=FIRST,
        content_sha256=content.sha256,
        qualification=1,
        granted_at=granted["disclosed_at"],
    )
    world.say("distribution", fact)
    asking = QuestionAsked(purchase_id=PURCHASE, request_version=1, question="Which floors?")
    world.take(SECOND, asking, "question")
    world.say(
        "bidding",
        bidding.QuestionReceived(
            purchase_id=PURCHASE,
            question_id=named("question"),
            request_version=1,
            question="Which floors?",
        ),
    )
    answered = rfp.QuestionAnswered(
        purchase_id=PURCHASE,
        question_id=named("question"),
        request_version=1,
        question="Which floors?",
        answer="Four.",
    )
    world.say("rfp", answered)
    at = world.now
    world.tables["distribution"]["answer_disclosures"] = []
    for provider in (FIRST, SECOND):
        world.say("distribution", distribution.AnswerPresented(**answered.model_dump()), to=provider)
        world.tables["distribution"]["answer_disclosures"].append(
            {
                "question_id": named("question"),
                "provider_id": provider,
                "disclosed_at": at,
                "cause_id": named(f"answer/{provider}"),
            }
        )


def refuse_a_stranger(world: World) -> None:
    """Let somebody on no list ask for access, be refused, and be told so."""
    world.take(STRANGER, AccessRequested(purchase_id=PURCHASE, request_version=1), "strange")
    request_id = named("strange")
    world.say(
        "bidding",
        bidding.AccessRequestReceived(
            purchase_id=PURCHASE,
            request_id=request_id,
            provider_id=STRANGER,
            request_version=1,
            message_id="strange",
        ),
    )
    refused = distribution.AccessRefused(
        purchase_id=PURCHASE,
        request_id=request_id,
        request_version=1,
        provider_id=STRANGER,
        message_id="strange",
        reason="unknown_purchase",
        detail="There is no such request for you.",
    )
    world.say("distribution", refused)
    world.tables["distribution"].setdefault("access_requests", []).append(
        {
            "request_id": request_id,
            "purchase_id": PURCHASE,
            "provider_id": STRANGER,
            "outcome": "unknown_purchase",
            "decided_at": world.now,
            "cause_id": request_id,
        }
    )
    notice = notification.AccessRefusalNotified(
        purchase_id=PURCHASE,
        message_id="strange",
        request_version=1,
        reason="unknown_purchase",
        detail="There is no such request for you.",
    )
    world.say("notification", notice, to=STRANGER)


def withdraw_and_acknowledge(world: World) -> None:
    """Let the second provider have withdrawn its reply, the first have acknowledged, and one more have declined."""
    reply_id = named(f"reply/{SECOND}/1")
    withdrawing = ReplyWithdrawn(purchase_id=PURCHASE, request_version=1, reply_id=reply_id)
    world.take(SECOND, withdrawing, "withdrawing")
    acknowledging = InvitationAcknowledged(
        purchase_id=PURCHASE, request_version=1, content_sha256=sha256(CONTENT).hexdigest()
    )
    read = world.take(FIRST, acknowledging, "read")
    world.take(SECOND, InvitationDeclined(purchase_id=PURCHASE, request_version=1, reason="No."), "no")
    opened = world.find("replies-opened")
    first, second, third = opened.body["replies"]
    world.replace(
        opened,
        body={
            "replies": [first, second, {**third, "standing": "withdrawn"}],
            "acknowledged": [
                {
                    "provider_id": FIRST,
                    "request_version": 1,
                    "content_sha256": sha256(CONTENT).hexdigest(),
                    "acknowledged_at": read.appended_at.isoformat(),
                }
            ],
        },
    )
    for row in world.tables["bidding"]["replies"]:
        if row["id"] == reply_id:
            row["standing"] = "withdrawn"
    world.restamp("bidding")


TERMS = "Payment in 30 days. See the document."
TERMS_DOCUMENT = bytes(PART_BYTES) + b"the end"


def propose_terms(world: World, *, attempt: int = 1) -> None:
    """Let the selected provider propose terms with a document of two parts, and bidding lay them before the group."""
    document = TermsDocument(
        **manifest_of("terms.pdf", TERMS_DOCUMENT).model_dump(), media_type="application/pdf"
    )
    terms_sha256 = terms_digest(TERMS, document)
    parts = list(split(document, TERMS_DOCUMENT))
    for number, data in parts:
        part = TermsPartSent(purchase_id=PURCHASE, award=1, document=document, part=number, data=data)
        world.take(FIRST, part, f"part {number} of {attempt}")
    proposed = TermsProposed(
        purchase_id=PURCHASE,
        award=1,
        title="Terms",
        text=TERMS,
        terms_sha256=terms_sha256,
        document=document,
    )
    world.take(FIRST, proposed, f"terms {attempt}")
    for number, data in parts:
        said = bidding.TermsDocumentPart(
            purchase_id=PURCHASE,
            award=1,
            terms_sha256=terms_sha256,
            document=document,
            part=number,
            data=data,
        )
        world.say("bidding", said)
    presented = bidding.TermsPresented(
        purchase_id=PURCHASE,
        award=1,
        provider_id=FIRST,
        title="Terms",
        text=TERMS,
        terms_sha256=terms_sha256,
        document=document,
    )
    world.say("bidding", presented)
