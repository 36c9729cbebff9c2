"""A person's sign-in asks for a time-based code, or no longer."""

from services.aggregation.domain.people import is_oneself, refuse_erased
from services.aggregation.handlers.streams import commands
from services.aggregation.store import groups, people
from services.aggregation.store import second_factor as store
from shared.delivery import CurrentActor, Publish, Tx
from shared.messages.people import DisableSecondFactor, EnableSecondFactor, SecondFactorSet
from shared.outcomes import NotYet, Refusal


@commands.handle
async def enable_second_factor(
    command: EnableSecondFactor, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Note which secret the codes come from; an older one never takes a newer one's place."""
    person = await people.lock_person(tx, command.person_id)
    if not await groups.record_order(tx, publish.cause, command.person_id):
        return None
    refusal = is_oneself(actor, person, command.person_id) or refuse_erased(person, publish.now)
    if refusal is not None:
        return refusal
    if await store.enable(tx, command.person_id, command.number):
        await publish(SecondFactorSet(person_id=command.person_id, number=command.number, state="enabled"))
    return None


@commands.handle
async def disable_second_factor(
    command: DisableSecondFactor, actor: CurrentActor, tx: Tx, publish: Publish
) -> Refusal | NotYet | None:
    """Note that no code is asked for any more."""
    person = await people.lock_person(tx, command.person_id)
    if not await groups.record_order(tx, publish.cause, command.person_id):
        return None
    refusal = is_oneself(actor, person, command.person_id) or refuse_erased(person, publish.now)
    if refusal is not None:
        return refusal
    number = await store.disable(tx, command.person_id)
    if number is not None:
        await publish(SecondFactorSet(person_id=command.person_id, number=number, state="disabled"))
    return None
