"""How a provider is let in: its bundle is written first, then the broker is brought to let it in, or asked whether it does.

What was interrupted in between goes on with the same password, because the bundle has it.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaException

from deploy.access.apply import admit_provider
from deploy.access.broker import AccessError, Broker
from deploy.access.certificates import Authority
from deploy.access.difference import Difference
from deploy.access.found import look
from deploy.access.login import Login as KafkaLogin
from deploy.access.model import provider_topics
from linepool.provisioning.bundle import Bundle, Written, check_password, new_password, write_bundle
from linepool.provisioning.place import VerifyingKeys

_LOGIN_SECONDS = 10.0


@dataclass(frozen=True)
class Login:
    """How a provider logs in. `password` None: keep the one there is, or make one where there is none.

    `authority` signs a certificate instead, a new one each time; there is no user with a password then.
    """

    password: str | None = field(default=None, repr=False)
    rotate: bool = False
    authority: Authority | None = None


@dataclass(frozen=True)
class Addressed:
    """What a bundle says beside the provider itself. `place` None: a folder named after the provider."""

    bootstrap_servers: str
    keys: VerifyingKeys
    place: Path | None = None


async def let_in(
    broker: Broker,
    pid: str,
    name: str,
    login: Login,
    addressed: Addressed,
    place: Path,
    written: Written | None,
) -> Difference:
    """Write the bundle, then let the provider in; return what had to be changed at the broker."""
    found = await asyncio.to_thread(look, broker)
    kept = written.password if written else None
    changed = _password_to_set(login, has_one=found.has_password(pid), kept=kept)
    bundle = _bundle(broker, pid, name, login, addressed, None if login.authority else changed or kept)
    await asyncio.to_thread(write_bundle, bundle, place)
    return await asyncio.to_thread(
        admit_provider, broker, pid, changed, certificate=login.authority is not None
    )


async def see_it_let_in(
    broker: Broker,
    pid: str,
    name: str,
    login: Login,
    addressed: Addressed,
    place: Path,
    written: Written | None,
) -> tuple[str, ...]:
    """Write the bundle, and see whether its login reaches the provider's three topics.

    Raises AccessError, which says what whoever administers that Kafka has to do, as long as it does not.
    """
    if login.authority:
        raise AccessError("a provider with a certificate is added by one who administers that Kafka")
    password = _password_to_set(login, has_one=False, kept=written.password if written else None)
    bundle = _bundle(broker, pid, name, login, addressed, password)
    await asyncio.to_thread(write_bundle, bundle, place)
    own = Broker(broker.bootstrap_servers, KafkaLogin(bundle.username, password or ""), broker.ca_file)
    wanted = {topic.name for topic in provider_topics(pid, broker.prefix)}
    if not await asyncio.to_thread(_sees, own, wanted):
        prefix = f" --prefix {broker.prefix}" if broker.prefix else ""
        raise AccessError(
            f"the login of {pid} does not reach its topics yet: give whoever administers that Kafka what `linepool access"
            f" render{prefix} --provider {pid}` prints, with the password in {place}; then the same command again"
        )
    return ()


def _sees(own: Broker, wanted: set[str]) -> bool:
    """Tell whether a login is let in and sees these topics; a broker names to nobody what is not theirs."""
    try:
        return wanted <= {*own.client().list_topics(timeout=_LOGIN_SECONDS).topics}
    except KafkaException:
        return False


def _bundle(
    broker: Broker, pid: str, name: str, login: Login, addressed: Addressed, password: str | None
) -> Bundle:
    return Bundle(
        provider_id=pid,
        name=name,
        bootstrap_servers=addressed.bootstrap_servers,
        prefix=broker.prefix,
        keys=addressed.keys,
        password=password,
        ca=broker.ca_file.read_bytes() if broker.ca_file else None,
        pair=login.authority.issue_for_provider(pid, broker.prefix) if login.authority else None,
    )


def _password_to_set(login: Login, *, has_one: bool, kept: str | None) -> str | None:
    """Return the password to set; None: the one at the broker stays, or there is to be none."""
    if login.authority:
        return None
    if login.password is not None:
        return check_password(login.password)
    if login.rotate:
        return new_password()
    return None if has_one else kept or new_password()
