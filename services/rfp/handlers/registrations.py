"""The operator's register of providers."""

from services.rfp import domain, registry, store
from services.rfp.handlers.streams import registrations
from shared.delivery import Publish, Tx
from shared.messages.rfp import (
    ProviderRegistered,
    ProviderReinstated,
    ProviderRemoved,
    ProviderSuspended,
    RegisterProvider,
    ReinstateProvider,
    RemoveProvider,
    SuspendProvider,
)
from shared.outcomes import Refusal


@registrations.handle
async def register_provider(command: RegisterProvider, tx: Tx, publish: Publish) -> None:
    """Make a provider known, or change what is known of it."""
    known = await registry.lock_provider(tx, command.provider_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return
    if isinstance(domain.may_register(command, known), domain.Repeated):
        return
    await registry.keep_provider(tx, command, publish.now)
    await publish(
        ProviderRegistered(
            provider_id=command.provider_id,
            name=command.name,
            categories=command.categories,
            regions=command.regions,
        )
    )


@registrations.handle
async def suspend_provider(command: SuspendProvider, tx: Tx, publish: Publish) -> Refusal | None:
    """Let nothing more be presented to a provider."""
    known = await registry.lock_provider(tx, command.provider_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    match domain.may_suspend(known, suspend=True):
        case Refusal() as refused:
            return refused
        case domain.Repeated():
            return None
    await registry.suspend_provider(tx, command.provider_id, publish.now)
    await publish(ProviderSuspended(provider_id=command.provider_id, reason=command.reason))
    return None


@registrations.handle
async def reinstate_provider(command: ReinstateProvider, tx: Tx, publish: Publish) -> Refusal | None:
    """Lift a suspension."""
    known = await registry.lock_provider(tx, command.provider_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    match domain.may_suspend(known, suspend=False):
        case Refusal() as refused:
            return refused
        case domain.Repeated():
            return None
    await registry.suspend_provider(tx, command.provider_id, None)
    await publish(ProviderReinstated(provider_id=command.provider_id))
    return None


@registrations.handle
async def remove_provider(command: RemoveProvider, tx: Tx, publish: Publish) -> Refusal | None:
    """Strike a provider off the register; it can be registered again."""
    known = await registry.lock_provider(tx, command.provider_id)
    if not await store.record_order(tx, publish.cause, command.subject):
        return None
    # What was removed before a restore stays removed, whatever this database still has to hear of its purchases.
    purchase_open = not publish.adopted_at and await registry.is_listed_in_open_purchase(
        tx, command.provider_id
    )
    refusal = domain.may_remove(known, purchase_open=purchase_open)
    if refusal is not None:
        return refusal
    await registry.remove_provider(tx, command.provider_id)
    await publish(ProviderRemoved(provider_id=command.provider_id, reason=command.reason))
    return None
