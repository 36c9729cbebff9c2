"""The bundle: everything that a provider needs to take part, as a folder (0700, its files 0600) or as one .zip (0600).

It is the only place where a provider's password is written down by us.
"""

import io
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import shared.messages
from deploy.access.broker import AccessError
from deploy.access.certificates import Pair, write_private
from deploy.access.model import provider, provider_topics
from linepool.provisioning.place import VerifyingKeys
from shared.messages import registry

FORMAT = 1
_MESSAGES = Path(shared.messages.__file__).parent
_STREAMS = ("invitations.", "notices.", "replies.")
_PASSWORD = re.compile(r"^sasl\.password=(.+)$", re.MULTILINE)
# Without quotation marks, backslashes and blanks a password needs no escaping, whoever reads the file.
_GOOD_PASSWORD = re.compile(r"[!#-\[\]-~]{16,128}")
_LATER = "# The password stays the one that you have."


@dataclass(frozen=True)
class Bundle:
    """What a provider gets. `password` None: it keeps the one that it has, or comes with a certificate."""

    provider_id: str
    name: str
    bootstrap_servers: str
    prefix: str
    keys: VerifyingKeys
    password: str | None = field(repr=False)
    ca: bytes | None
    """PEM; None: the broker's certificate is of an authority that every machine knows, or it has none."""
    pair: Pair | None = None
    """Its certificate and key, with which it logs in instead of a password."""

    @property
    def username(self) -> str:
        """The provider's user at Kafka."""
        return self.prefix + provider(self.provider_id).name

    def files(self) -> dict[str, bytes]:
        """Return every file by its path inside the bundle."""
        texts = {
            "linepool.json": _json(self._description()),
            "client.properties": self._librdkafka(),
            "java.properties": self._java(),
            "README.md": self._readme(),
        }
        for type_, message in registry.items():
            if message.stream in _STREAMS:
                texts[f"schemas/{type_}.json"] = _json(message.model_json_schema())
            if message.stream == "replies.":
                texts[f"examples/{type_}.json"] = (_MESSAGES / "examples" / f"{type_}.json").read_text()
        files = {name: text.encode() for name, text in texts.items()}
        if self.pair:
            files["certificate.pem"], files["key.pem"] = self.pair.certificate, self.pair.key
            files["certificate-and-key.pem"] = self.pair.key + self.pair.certificate
        return files if self.ca is None else {**files, "ca.pem": self.ca}

    def _topics(self) -> dict[str, str]:
        names = [topic.name for topic in provider_topics(self.provider_id, self.prefix)]
        return {name.removeprefix(self.prefix).partition(".")[0]: name for name in names}

    def _description(self) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "name": self.name,
            "provider_id": self.provider_id,
            "bootstrap_servers": self.bootstrap_servers,
            "prefix": self.prefix,
            "username": self.username,
            "topics": self._topics(),
            "group_prefix": f"{self.prefix}{provider(self.provider_id).group_prefix}",
            "max_message_bytes": provider_topics(self.provider_id)[0].max_message_bytes,
            "keys": self.keys.as_json(),
        }

    def _librdkafka(self) -> str:
        values = {"bootstrap.servers": self.bootstrap_servers}
        if self.pair:
            values |= {
                "security.protocol": "SSL",
                "ssl.certificate.location": "certificate.pem",
                "ssl.key.location": "key.pem",
            }
        else:
            values |= {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": self.username,
            }
        if self.ca:
            values |= {"ssl.ca.location": "ca.pem", "ssl.endpoint.identification.algorithm": "https"}
        return _properties(
            "For librdkafka and what is built on it, such as confluent-kafka and kcat. Paths begin at this folder.",
            values,
            {} if self.pair else {"sasl.password": self.password},
        )

    def _java(self) -> str:
        # On by default there; librdkafka has it off.
        values = {"bootstrap.servers": self.bootstrap_servers, "enable.idempotence": "false"}
        secret: dict[str, str | None] = {}
        if self.pair:
            values |= {
                "security.protocol": "SSL",
                "ssl.keystore.type": "PEM",
                "ssl.keystore.location": "certificate-and-key.pem",
            }
        else:
            module = "org.apache.kafka.common.security.scram.ScramLoginModule required"
            values |= {
                "security.protocol": "SASL_SSL",
                "sasl.mechanism": "SCRAM-SHA-512",
            }
            login = f'{module} username="{self.username}" password="{self.password}";'
            secret = {"sasl.jaas.config": login if self.password else None}
        if self.ca:
            values |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": "ca.pem"}
        return _properties("For Kafka's Java client. Paths begin at this folder.", values, secret)

    def _readme(self) -> str:
        topics = self._topics()
        sent = sorted(message.__name__ for message in registry.values() if message.stream == "replies.")
        return README.format(
            name=self.name,
            provider_id=self.provider_id,
            group=f"{self.prefix}{provider(self.provider_id).group_prefix}",
            sent=", ".join(f"`{one}`" for one in sent),
            **topics,
        )


README = """\
# {name} at Linepool

You are the provider `{provider_id}`. Keep this folder to yourself: whoever has it can speak in your name.

| file | what it is |
| --- | --- |
| `linepool.json` | where everything is: the Kafka, your topics, your group prefix, the keys with which you check receipts |
| `client.properties` | your login for librdkafka (confluent-kafka, kcat) and for `linepool provider` |
| `java.properties` | the same for Kafka's Java client |
| `ca.pem` | the authority of the Kafka's certificate, if it has one of its own |
| `certificate.pem`, `key.pem` | your certificate and its key, if you log in by one (in one file for Java) |
| `schemas/` | JSON Schemas of every message that you may see or send |
| `examples/` | a filled-in example of each message that you may send |

You read `{invitations}` (requests) and `{notices}` (receipts, results), in consumer groups whose names begin with `{group}`.
You write `{replies}`: {sent}.
Nothing else is open to you, and nobody but you and Linepool can read or write these topics.

Every message is a JSON object with the headers `ce_specversion: 1.0`, `ce_id` (your own, unique), `ce_type` (the name
of its schema) and `content-type: application/json`. To each you get exactly one receipt or one rejection.
The same bytes with the same id are the same message, so write with `acks=all` and without idempotence: Kafka counts idempotent
producers, and others could see that one began. Give every reply a revision.
"""


def new_password() -> str:
    """Return a password of 256 random bits."""
    return os.urandom(32).hex()


def check_password(password: str) -> str:
    """Return the password if it can stand in every client's file; AccessError otherwise. It is not quoted."""
    if not _GOOD_PASSWORD.fullmatch(password):
        raise AccessError(
            "a password has 16 to 128 letters, digits and signs, without blanks, quotation marks and backslashes"
        )
    return password


def write_bundle(bundle: Bundle, place: Path) -> None:
    """Write it: a .zip if the name ends so, else a folder. What stands there is replaced, file by file."""
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.suffix == ".zip":
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
            for name, content in sorted(bundle.files().items()):
                entry = zipfile.ZipInfo(name)
                entry.external_attr = 0o600 << 16
                file.writestr(entry, content)
        write_private(place, packed.getvalue())
        return
    for folder in (place, place / "schemas", place / "examples"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o700)
    for name, content in bundle.files().items():
        write_private(place / name, content)


@dataclass(frozen=True)
class Written:
    """What an earlier bundle says."""

    provider_id: str
    name: str
    password: str | None = field(repr=False)


def read_bundle(place: Path) -> Written | None:
    """Return what the bundle says that stands there; None if none does.

    Raises AccessError where something else stands there.
    """
    if not place.exists():
        return None
    if place.is_dir() and not any(place.iterdir()):
        return None
    try:
        if place.is_dir():
            description, login = (
                (place / name).read_text() for name in ("linepool.json", "client.properties")
            )
        else:
            with zipfile.ZipFile(place) as file:
                description, login = (
                    file.read(name).decode() for name in ("linepool.json", "client.properties")
                )
        found: Mapping[str, str] = json.loads(description)
        password = _PASSWORD.search(login)
        return Written(found["provider_id"], found["name"], password[1] if password else None)
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        raise AccessError(f"{place} is there already and is not a bundle") from None


def file_name(name: str) -> str:
    """Return a name for a bundle's folder that follows from a provider's name."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "provider"


def _properties(title: str, values: Mapping[str, str], secrets: Mapping[str, str | None]) -> str:
    lines = [f"# {title}", *(f"{name}={value}" for name, value in values.items())]
    lines += [_LATER if value is None else f"{name}={value}" for name, value in secrets.items()]
    return "\n".join(lines) + "\n"


def _json(content: object) -> str:
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
