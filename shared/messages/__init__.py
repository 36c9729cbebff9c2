"""The contract: every message that travels between the services, their people and the providers.

`registry` maps a CloudEvents type to its model. A type enters it together with its handler; a contract test finds orphans.
"""

import re
from types import ModuleType
from uuid import UUID

from shared.messages import aggregation, bidding, distribution, evidence, notification, people, providers, rfp
from shared.messages.base import PROVIDER_ID, AboutPerson, Command, Message, Order, OrderRefused, Refused

__all__ = ["Command", "Message", "Order", "OrderRefused", "Refused", "refusal_of", "registry"]

modules: tuple[ModuleType, ...] = (
    aggregation,
    people,
    evidence,
    rfp,
    distribution,
    bidding,
    providers,
    notification,
)


def _messages_of(module: ModuleType) -> list[type[Message]]:
    """Return what a module defines, without the classes that only others are derived from."""
    defined = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Message) and value.__module__ == module.__name__
    ]
    return [
        one for one in defined if not any(other is not one and issubclass(other, one) for other in defined)
    ]


registry: dict[str, type[Message]] = {
    message.type(): message
    for module in modules
    for message in _messages_of(module)
    if not message.__subclasses__()
}

_by_name = {message.__name__: message for message in registry.values()}


def refusal_of(
    command: type[Message] | None,
    *,
    service: str,
    subject: str,
    command_id: UUID | None,
    reason: str,
    detail: str,
) -> Message:
    """Return the event that answers a command which is not obeyed.

    `<Command>Refused` where the command is known; `ProviderOrderRefused` or `PersonOrderRefused` for orders about a provider or a
    person; `<Service>CommandRefused` where nobody can say what was ordered. `subject` is
    what the sender wrote, and may be anything.
    """
    said = {"command_id": command_id, "reason": reason, "detail": detail}
    if command is not None and issubclass(command, rfp.RegistrationCommand):
        if re.fullmatch(PROVIDER_ID, subject):
            return rfp.ProviderOrderRefused(provider_id=subject, **said)
        command = None
    about = _uuid(subject)
    if command is not None and issubclass(command, AboutPerson):
        if about is not None:
            return people.PersonOrderRefused(person_id=about, **said)
        command = None
    model = _by_name.get(f"{command.__name__}Refused") if command is not None else None
    model = model or _by_name[f"{service.capitalize()}CommandRefused"]
    return model(purchase_id=about, **said)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
