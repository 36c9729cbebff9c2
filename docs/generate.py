"""Writes what would go stale by hand: schemas, the flow page, the services' canvases, the pages of access and security, alerts.

`python -m docs.generate` writes; with `--check` it says what is stale and exits 1.
"""

import ast
import json
import sys
from collections import defaultdict
from functools import cache
from importlib import import_module
from pathlib import Path

from deploy.observability.questions import DASHBOARD, RULES, dashboard, rules, table
from docs.access_page import access_page
from docs.asyncapi import asyncapi
from docs.chart_files import chart_files
from docs.security_page import PAGE, security_page
from services.portal.api import make_api
from shared.messages import Message, Order, OrderRefused, registry
from shared.streams import Streams

ROOT = Path(__file__).parents[1]
SERVICES = ("aggregation", "rfp", "distribution", "bidding", "notification", "portal")
SCHEMAS = ROOT / "shared" / "messages" / "schemas"
BEGIN, END = "<!-- generated: canvas -->", "<!-- end -->"
QUESTIONS = "<!-- generated: questions -->"


def streams_of(service: str) -> Streams:
    """Return what a service reads, as its handlers declare it."""
    streams: Streams = import_module(f"services.{service}.handlers").streams
    return streams


@cache
def said_by() -> dict[str, list[str]]:
    """Return by message name the services whose code makes such a message."""
    names = {message.__name__: message for message in registry.values()}
    makers: dict[str, set[str]] = defaultdict(set)
    for service in SERVICES:
        for file in (ROOT / "services" / service).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
                    makers[node.func.id].add(service)
        for name, message in names.items():
            # Delivery says refusals on behalf of the service that obeys.
            if issubclass(message, OrderRefused) and message.stream == f"{service}.events":
                makers[name].add(service)
    return {name: sorted(found) for name, found in makers.items()}


@cache
def handled_by() -> dict[str, list[tuple[str, str]]]:
    """Return by message name (service, handler)."""
    handlers: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for service in SERVICES:
        for subscription in streams_of(service).subscriptions:
            for type_, handler in subscription.handlers.items():
                if type_ == "batch":
                    for message in registry.values():
                        if message.stream == subscription.topic:
                            handlers[message.__name__].append((service, handler.__name__))
                else:
                    handlers[registry[type_].__name__].append((service, handler.__name__))
    return handlers


def sender_of(message: type[Message], makers: dict[str, list[str]]) -> str:
    """Return who says a message, for people to read."""
    if message.stream == "replies.":
        return "provider"
    if issubclass(message, Order):
        [given_by] = {"officer", "operator"} & message.roles or {"portal"}
        return given_by
    return ", ".join(makers.get(message.__name__, []))


def flow_page() -> str:
    """Return docs/flow.md."""
    makers, handlers = said_by(), handled_by()
    edges: dict[tuple[str, str], int] = defaultdict(int)
    lines = [
        "# Who says what to whom",
        "",
        "Written by `make generate` from the handlers and the contract; `make lint` fails when it is stale.",
        "To follow one message, search for its name: one place makes it, and each handler names it in its first parameter.",
        "",
    ]
    tables = []
    by_stream: dict[str, list[type[Message]]] = defaultdict(list)
    for message in registry.values():
        by_stream[message.stream].append(message)
    for stream, messages in sorted(by_stream.items()):
        shown = stream + "<provider id>" if stream.endswith(".") else stream
        tables += [f"## `{shown}`", "", "| message | said by | handled by |", "| --- | --- | --- |"]
        for message in messages:
            sender = sender_of(message, makers)
            readers = handlers.get(message.__name__, [])
            if stream in {"invitations.", "notices."}:
                reading = "the provider"
                edges[sender, "provider"] += 1
            else:
                reading = ", ".join(f"{service} `{name}`" for service, name in readers)
            tables.append(f"| `{message.__name__}` | {sender} | {reading} |")
            for service, _ in readers:
                for one in sender.split(", "):
                    edges[one, service] += 1
        tables.append("")
    chart = ["```mermaid", "flowchart LR", "    provider([providers])", "    portal([portal])"]
    chart += ["    officer([officer])", "    operator([operator])"]
    for (sender, reader), count in sorted(edges.items()):
        if sender and reader and sender != reader:
            chart.append(f"    {sender} -->|{count}| {reader}")
    chart += ["```", "", "The numbers count the types of messages.", ""]
    return "\n".join(lines + chart + tables).rstrip() + "\n"


def canvas(service: str) -> str:
    """Return the table of a service's canvas."""
    makers = said_by()
    rows = ["| reads | message | does |", "| --- | --- | --- |"]
    for subscription in streams_of(service).subscriptions:
        shown = subscription.topic + "*" if subscription.kind == "batches" else subscription.topic
        for type_, handler in subscription.handlers.items():
            names = (
                [message.__name__ for message in registry.values() if message.stream == subscription.topic]
                if type_ == "batch"
                else [registry[type_].__name__]
            )
            summary = (handler.__doc__ or "").strip().split("\n")[0]
            rows.append(
                f"| `{shown}` | {', '.join(f'`{name}`' for name in names)} | `{handler.__name__}`: {summary} |"
            )
    rows += ["", "| says on | messages |", "| --- | --- |"]
    said: dict[str, list[str]] = defaultdict(list)
    for message in registry.values():
        if service in makers.get(message.__name__, []):
            said[message.stream].append(message.__name__)
    for stream, names in sorted(said.items()):
        shown = stream + "<provider id>" if stream.endswith(".") else stream
        rows.append(f"| `{shown}` | {', '.join(f'`{name}`' for name in names)} |")
    return "\n".join(rows)


def outputs() -> dict[Path, str]:
    """Return every generated file with what it should hold."""
    files = {
        SCHEMAS / f"{type_}.json": json.dumps(message.model_json_schema(), indent=2, sort_keys=True) + "\n"
        for type_, message in registry.items()
    }
    files[ROOT / "docs" / "flow.md"] = flow_page()
    files[ROOT / "docs" / "access.md"] = access_page()
    files[ROOT / "docs" / "providers" / "asyncapi.json"] = asyncapi()
    files[ROOT / "docs" / "openapi.json"] = (
        json.dumps(make_api(None).openapi(), indent=1, ensure_ascii=False) + "\n"
    )
    files[PAGE] = security_page()
    files[RULES] = rules()
    files[DASHBOARD] = dashboard()
    page = ROOT / "docs" / "observability.md"
    files[page] = _between(page.read_text(), QUESTIONS, table())
    for service in SERVICES:
        readme = ROOT / "services" / service / "README.md"
        files[readme] = _between(readme.read_text(), BEGIN, canvas(service))
    return files | chart_files(ROOT, streams_of, files)


def _between(text: str, begin: str, generated: str) -> str:
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(END)
    return f"{before}{begin}\n{generated}\n{END}{after}"


def main() -> None:
    """Write the files, or say which are stale."""
    wanted = outputs()
    orphans = [file for file in SCHEMAS.glob("*.json") if file not in wanted]
    stale = [file for file, text in wanted.items() if not file.exists() or file.read_text() != text]
    if "--check" in sys.argv[1:]:
        for file in [*stale, *orphans]:
            sys.stderr.write(f"stale: {file.relative_to(ROOT)} (run `make generate`)\n")
        sys.exit(1 if stale or orphans else 0)
    for file in stale:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(wanted[file])
    for file in orphans:
        file.unlink()


if __name__ == "__main__":
    main()
