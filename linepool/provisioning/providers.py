"""Adding, cutting off and removing a provider: at the broker and in rfp's register, in the order that is safe.

Whoever comes in is let in by the broker first, so that nothing is presented to topics that are not there. Whoever goes is
told to rfp first, so that nothing is presented to one who is gone. Each can be done again when it was interrupted.
"""

import asyncio
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.access.apply import cut_provider_off
from deploy.access.broker import AccessError, Broker
from deploy.access.difference import Difference, compare, wanted_of_provider
from deploy.access.found import Found, Standing, look
from deploy.access.model import check_provider_id
from linepool.provisioning.bundle import Written, file_name, read_bundle
from linepool.provisioning.letting_in import Addressed, Login, let_in, see_it_let_in
from linepool.provisioning.register import Register, Registered, find_provider


@dataclass(frozen=True)
class Done:
    """What was done: to whom, what had to be changed at the broker, and where the bundle is."""

    provider_id: str
    changed: tuple[str, ...]
    bundle: Path | None = None


@dataclass(frozen=True)
class Line:
    """A provider as `list` shows it. `state` None: rfp does not know it."""

    provider_id: str
    name: str
    state: str | None
    standing: Standing
    login: str
    differences: tuple[str, ...]


async def add_provider(
    broker: Broker,
    register: Register,
    name: str,
    *,
    categories: Sequence[str],
    regions: Sequence[str],
    login: Login,
    addressed: Addressed,
    administered_elsewhere: bool = False,
) -> Done:
    """Make a provider known, or repair what is missing of one that is; write its bundle.

    Its id never changes, its password only where `login` says so. With `administered_elsewhere` nothing is asked of the
    broker that needs rights there: the provider is registered once its own login shows that somebody has let it in.
    Raises AccessError, one sentence, for whatever is in the way.
    """
    everyone = await register.providers()
    known = find_provider(everyone.values(), name)
    if known and known.state != "registered":
        hint = "; `linepool provider reinstate` brings it back" if known.state == "suspended" else ""
        raise AccessError(f"{known.name} is {known.state}{hint}")
    full_name = known.name if known else name
    place = addressed.place or Path("bundles") / file_name(full_name)
    written = await asyncio.to_thread(read_bundle, place)
    pid = _id_of(known, written, full_name, place)
    if known is None and pid in everyone:
        raise AccessError(
            f"{place} is the bundle of a provider that was {everyone[pid].state}; choose another place"
        )
    if administered_elsewhere:
        changed = await see_it_let_in(broker, pid, full_name, login, addressed, place, written)
    else:
        difference = await let_in(broker, pid, full_name, login, addressed, place, written)
        changed = tuple(difference.repairs())
    says = (
        tuple(categories) or (known.categories if known else ()),
        tuple(regions) or (known.regions if known else ()),
    )
    if known is None or (known.categories, known.regions) != says:
        await register.register(pid, full_name, *says)
    return Done(pid, changed, place)


async def suspend_provider(broker: Broker, register: Register, name: str, reason: str) -> Done:
    """Have rfp present nothing more to a provider, then take its rights at the broker."""
    known = await _known(register, name)
    if known.state == "removed":
        raise AccessError(f"{known.name} is removed")
    if known.state == "registered":
        await register.suspend(known.provider_id, reason)
    difference = await asyncio.to_thread(cut_provider_off, broker, known.provider_id)
    return Done(known.provider_id, tuple(difference.repairs()))


async def reinstate_provider(
    broker: Broker, register: Register, name: str, login: Login, addressed: Addressed
) -> Done:
    """Give a provider its rights again, then have rfp present to it again; write its bundle with its password."""
    known = await _known(register, name)
    if known.state == "removed":
        raise AccessError(f"{known.name} is removed; add it again")
    pid = known.provider_id
    place = addressed.place or Path("bundles") / file_name(known.name)
    written = await asyncio.to_thread(read_bundle, place)
    _id_of(known, written, known.name, place)
    difference = await let_in(broker, pid, known.name, login, addressed, place, written)
    if known.state == "suspended":
        await register.reinstate(pid)
    return Done(pid, tuple(difference.repairs()), place)


async def remove_provider(
    broker: Broker, register: Register, name: str, reason: str, *, keep_topics: bool
) -> Done:
    """Strike a provider off at rfp, then take its rights and its user, and its topics unless they are kept.

    Raises AccessError with rfp's reason where it refuses; the broker is not touched then.
    """
    everyone = await register.providers()
    known = find_provider(everyone.values(), name)
    if known is None:
        return await _remove_unknown(broker, name, keep_topics=keep_topics)
    if known.state != "removed":
        await register.remove(known.provider_id, reason)
    difference = await asyncio.to_thread(
        cut_provider_off, broker, known.provider_id, delete_topics=not keep_topics
    )
    return Done(known.provider_id, tuple(difference.repairs()))


async def list_providers(broker: Broker, register: Register) -> list[Line]:
    """Return every provider that rfp or the broker knows, by name."""
    everyone = await register.providers()
    found = await asyncio.to_thread(look, broker)
    ids = {*found.providers(), *(pid for pid, one in everyone.items() if one.state != "removed")}
    return sorted(
        (_line(pid, everyone.get(pid), found) for pid in ids), key=lambda one: (one.name, one.provider_id)
    )


def _line(pid: str, known: Registered | None, found: Found) -> Line:
    standing = found.standing(pid)
    state = known.state if known else None
    differences = []
    expected: Standing = "admitted" if state == "registered" else "cut off"
    if expected == "admitted" and standing != "admitted":
        differences.append("rfp presents requests to it, and the broker does not let it in")
    if expected == "cut off" and standing == "admitted":
        differences.append(f"the broker lets it in, and rfp has it as {state or 'unknown'}")
    drift: Difference = compare(found, wanted_of_provider(found, pid))
    differences += drift.repairs()
    password = "password" if found.has_password(pid) else "certificate"
    login = password if standing == "admitted" else "none"
    return Line(pid, known.name if known else "?", state, standing, login, tuple(differences))


async def _known(register: Register, name: str) -> Registered:
    known = find_provider((await register.providers()).values(), name)
    if known is None:
        raise AccessError(f"no provider is registered as {name}")
    return known


async def _remove_unknown(broker: Broker, pid: str, *, keep_topics: bool) -> Done:
    """Take away what an interrupted `add` left at the broker of a provider that rfp has never heard of."""
    found = await asyncio.to_thread(look, broker)
    if pid not in found.providers():
        raise AccessError(f"no provider is registered as {pid}")
    difference = await asyncio.to_thread(cut_provider_off, broker, pid, delete_topics=not keep_topics)
    return Done(pid, tuple(difference.repairs()))


def _id_of(known: Registered | None, written: Written | None, name: str, place: Path) -> str:
    """Return the id: the known one; or that of an `add` which was interrupted before rfp heard of it; or a new one."""
    if written and (written.name != name if known is None else written.provider_id != known.provider_id):
        raise AccessError(
            f"{place} is the bundle of another provider ({written.name}, {written.provider_id})"
        )
    if known is not None:
        return known.provider_id
    if written is not None:
        return check_provider_id(written.provider_id)
    alphabet = string.ascii_lowercase + string.digits
    return "".join(secrets.choice(alphabet) for _ in range(12))
