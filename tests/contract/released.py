"""The contract as it was last released, and what a change to it would break.

`python -m tests.contract.released` freezes it anew: at a release, never to make a test pass.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from shared.messages import registry

ROOT = Path(__file__).parents[2]
FILE = Path(__file__).parent / "released.json"
MESSAGES = ROOT / "shared" / "messages"
SAYS_NOTHING = {"title", "description", "default", "examples"}
"""Parts of a schema that no reader goes by."""


def migration_files() -> dict[str, Path]:
    """Return every migration by its place, such as `services/rfp/migrations/0001_requests.sql`, in order."""
    folders = [ROOT / "shared" / "sql", *sorted((ROOT / "services").rglob("migrations"))]
    return {str(file.relative_to(ROOT)): file for folder in folders for file in sorted(folder.glob("*.sql"))}


def contract() -> dict[str, Any]:
    """Return what other releases go by: schemas, examples and streams of messages, and the migrations' hashes."""
    messages = {
        type_: {
            "stream": model.stream,
            "schema": model.model_json_schema(),
            "example": json.loads((MESSAGES / "examples" / f"{type_}.json").read_bytes()),
        }
        for type_, model in sorted(registry.items())
    }
    hashes = {name: sha256(file.read_bytes()).hexdigest() for name, file in migration_files().items()}
    return {"messages": messages, "migrations": hashes}


def breaks(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return why a reader or a writer of one release would not understand the other's, each with its place."""
    return list(_Comparison(before.get("$defs", {}), now.get("$defs", {})).of(before, now, "", ()))


@dataclass(frozen=True)
class _Comparison:
    """Compares two schemas, part by part; the parts that they name stand in `old` and `new`."""

    old: dict[str, Any]
    new: dict[str, Any]

    def of(self, before: Any, now: Any, place: str, within: tuple[str, ...]) -> Iterator[str]:
        """Yield each difference that matters; `within` are the names of the parts that this one is in."""
        while isinstance(before, dict) and "$ref" in before:
            name = before["$ref"].rpartition("/")[2]
            if name in within:
                return  # a part within itself: compared already
            within = (*within, name)
            before = self.old[name]
        while isinstance(now, dict) and "$ref" in now:
            now = self.new[now["$ref"].rpartition("/")[2]]
        if isinstance(before, dict) and isinstance(now, dict):
            yield from self._rules(before, now, place, within)
            yield from self._fields(before, now, place, within)
        elif isinstance(before, list) and isinstance(now, list) and any(map(_is_schema, before + now)):
            if len(before) != len(now):
                yield f"{place} has another number of alternatives"
            for number, (one, other) in enumerate(zip(before, now, strict=False)):
                yield from self.of(one, other, f"{place}/{number}", within)
        elif _in_any_order(before) != _in_any_order(now):
            yield f"{place} was {before!r} and is {now!r}"

    def _rules(
        self, before: dict[str, Any], now: dict[str, Any], place: str, within: tuple[str, ...]
    ) -> Iterator[str]:
        for rule in sorted((before.keys() | now.keys()) - SAYS_NOTHING - {"$defs", "properties", "required"}):
            if rule in before and rule in now:
                yield from self.of(before[rule], now[rule], f"{place}/{rule}", within)
            else:
                yield f"{place}/{rule} {'is new' if rule in now else 'is gone'}"

    def _fields(
        self, before: dict[str, Any], now: dict[str, Any], place: str, within: tuple[str, ...]
    ) -> Iterator[str]:
        fields, found = before.get("properties", {}), now.get("properties", {})
        for name in fields:
            if name in found:
                yield from self.of(fields[name], found[name], f"{place}/{name}", within)
            else:
                yield f"{place}/{name} is gone"
        for name in sorted(set(now.get("required", ())) - set(before.get("required", ()))):
            yield f"{place}/{name} must be given, and was not"


def _is_schema(value: Any) -> bool:
    return isinstance(value, dict)


def _in_any_order(value: Any) -> Any:
    return sorted(map(repr, value)) if isinstance(value, list) else value


if __name__ == "__main__":
    FILE.write_text(json.dumps(contract(), indent=1, sort_keys=True, ensure_ascii=False) + "\n")
