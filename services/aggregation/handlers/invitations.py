"""Organisations are invited, and join by the link that their contact person was sent."""

from typing import Literal
from uuid import UUID

from services.aggregation.contacts import record_contact, spoke
from services.aggregation.domain import groups as groups_domain
from services.aggregation.domain import people as domain
from services.aggregation.domain.groups import Buyer, Repeated
from services.aggregation.handlers.streams import Passwords, commands
from services.aggregation.passwords import LINK_VALID_FOR, Assigner
from services.aggregation.store import groups
from services.aggregation.store import people as store
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.aggregation import BuyerJoined
from shared.messages.people import (
    BuyerInvited,
    InvitationLinkAssigned,
    InvitationLinkClosed,
    InvitationRevoked,
    InviteBuyer,
    JoinGroup,
    RenewInvitation,
    RevokeInvitation,
)
from shared.outcomes import NotYet, Refusal


@commands.handle
async def invite_buyer(
    command: InviteBuyer, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | None:
    """Invite an organisation through its contact person."""
    group = await groups.lock_group(tx, command.purchase_id)
    if not await groups.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = groups_domain.may_coordinate(group, actor) or domain.refuse_erased(
        await store.lock_person(tx, command.contact.person_id), publish.now
    )
    if refusal is not None or group is None:
        return refusal
    match domain.may_invite(group, await store.invitation(tx, command.invitation_id), command):
        case Refusal() as refused:
            return refused
        case Repeated():
            return None
    await record_contact(tx, publish, passwords, command.contact, recorded_by=actor.person_id)
    invitation = domain.Invitation(
        command.invitation_id,
        command.purchase_id,
        command.legal_name,
        command.contact.person_id,
        number=1,
        state="invited",
        assigned_at=publish.now,
        address_digest=await store.address_digest(tx, command.contact.person_id),
    )
    await store.invite(tx, invitation)
    await _send_link(tx, publish, passwords, invitation, 1)
    return None


@commands.handle
async def renew_invitation(
    command: RenewInvitation, actor: CurrentActor, tx: Tx, publish: Publish, passwords: Passwords
) -> Refusal | None:
    """Send a new link; the one before no longer works."""
    group = await groups.lock_group(tx, command.purchase_id)
    if not await groups.record_order(tx, publish.cause, command.purchase_id):
        return None
    invitation = await store.invitation(tx, command.invitation_id)
    refusal = (
        groups_domain.may_coordinate(group, actor)
        or (groups_domain.may_change(group) if group else None)
        or domain.may_renew(invitation, command.purchase_id, publish.now)
    )
    if refusal is not None or invitation is None:
        return refusal
    await store.renew(
        tx,
        command.invitation_id,
        publish.now,
        await store.address_digest(tx, invitation.contact_id),
    )
    await _send_link(tx, publish, passwords, invitation, invitation.number + 1)
    return None


@commands.handle
async def revoke_invitation(
    command: RevokeInvitation, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | None:
    """Take an invitation back that nobody has accepted."""
    group = await groups.lock_group(tx, command.purchase_id)
    if not await groups.record_order(tx, publish.cause, command.purchase_id):
        return None
    refusal = groups_domain.may_coordinate(group, actor)
    if refusal is not None:
        return refusal
    invitation = await store.invitation(tx, command.invitation_id)
    match domain.may_revoke(invitation, command.purchase_id):
        case Refusal() as refused:
            return refused
        case Repeated():
            return None
    if invitation is not None:
        await store.end_invitation(tx, command.invitation_id, "revoked")
        await publish(
            InvitationRevoked(purchase_id=command.purchase_id, invitation_id=command.invitation_id),
            _closed(invitation, "revoked"),
        )
    return None


@commands.handle
async def join_group(
    command: JoinGroup, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Make the invited organisation a member; its contact has a password, and is reached by mail."""
    group = await groups.lock_group(tx, command.purchase_id)
    if not await groups.record_order(tx, publish.cause, command.purchase_id):
        return None
    invitation = await store.invitation(tx, command.invitation_id)
    person = await store.lock_person(tx, actor.person_id)
    refusal = (
        domain.refuse_erased(person, publish.now)
        or domain.may_accept(invitation, command, actor)
        or domain.may_sign_in(person, command.verifier)
    )
    if refusal is not None or group is None or invitation is None or person is None:
        return refusal
    joining = Buyer(command.buyer_id, command.legal_name, command.identifiers, actor.person_id, left=False)
    match groups_domain.join(group, await groups.buyers(tx, command.purchase_id), joining):
        case Refusal() as refused:
            return refused
        case None:
            await groups.add_buyer(tx, command.purchase_id, joining, publish.now)
            await publish(
                BuyerJoined(
                    purchase_id=command.purchase_id,
                    buyer_id=joining.buyer_id,
                    legal_name=joining.legal_name,
                    identifiers=joining.identifiers,
                    contact_id=joining.contact_id,
                )
            )
        case Repeated():
            # The coordinator has added the organisation meanwhile: the link has done its work all the same.
            pass
    await store.end_invitation(tx, command.invitation_id, "accepted")
    await publish(_closed(invitation, "accepted"))
    await spoke(tx, publish, person, command.verifier, invitation.address_digest)
    return None


async def _send_link(
    tx: Tx, publish: Publish, passwords: Assigner, invitation: domain.Invitation, number: int
) -> None:
    link = passwords.link(invitation.invitation_id, number)
    expires_at = publish.now + LINK_VALID_FOR
    about: dict[str, UUID] = {
        "invitation_id": invitation.invitation_id,
        "purchase_id": invitation.purchase_id,
    }
    await publish(
        BuyerInvited(
            **about,
            number=number,
            legal_name=invitation.legal_name,
            contact_id=invitation.contact_id,
            expires_at=expires_at,
        ),
        InvitationLinkAssigned(
            **about,
            person_id=invitation.contact_id,
            number=number,
            sha256=link.verifier,
            sealed_secret=link.sealed,
            expires_at=expires_at,
            contact_version=await store.contact_version(tx, invitation.contact_id),
        ),
    )


def _closed(invitation: domain.Invitation, state: Literal["accepted", "revoked"]) -> InvitationLinkClosed:
    return InvitationLinkClosed(
        invitation_id=invitation.invitation_id,
        purchase_id=invitation.purchase_id,
        person_id=invitation.contact_id,
        number=invitation.number,
        state=state,
    )
