"""The inbox: one folder for each request, with all that is needed to answer it and all that proves what was said.

inbox/notices.jsonl                      every notice in its order, to verify receipts offline
inbox/<title>-<short id>/request.html    what is asked, to read
    request.json                         the content, exactly the bytes that the manifest's hash is of
    invitation.json                      the message that brought it
    documents/                           the further documents
    price-sheet.xlsx                     to fill in
    news.txt                             all that was said about this request, a line each
    replies/0001.json                    what was sent as revision 1, and 0001.receipt.json its receipt
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import orjson
from pydantic import ValidationError

from linepool.client.journal import Entry
from linepool.provider.errors import RequestError
from linepool.provider.page import offered_page, request_page
from linepool.provider.request import Request
from linepool.provider.sheet import price_sheet
from linepool.provider.telling import as_json, one_line
from shared.messages.bidding import ReceiptIssued
from shared.messages.distribution import AccessOffered, RequestPresented

NOTICES = "notices.jsonl"


@dataclass(frozen=True)
class Folder:
    """The folder of one version of a request."""

    path: Path

    def write(self, request: Request) -> None:
        """Write everything but what the provider fills in or has filled in already."""
        self.path.mkdir(parents=True, exist_ok=True)
        files = file_names(request.documents)
        for name, content in request.documents.items():
            _write(self.path / "documents" / files[name], content)
        _write(self.path / "request.json", request.content_json)
        page = request_page(request, folder=str(self.path), files=files)
        _write(self.path / "request.html", page.encode())
        if not (self.path / "price-sheet.xlsx").exists():
            _write(self.path / "price-sheet.xlsx", price_sheet(request.content))
        # Last: where this file stands, the rest does.
        _write(self.path / "invitation.json", request.presented.to_bytes())

    def write_offered(self, offered: AccessOffered) -> None:
        """Write what is known before access is granted."""
        self.path.mkdir(parents=True, exist_ok=True)
        _write(self.path / "request.html", offered_page(offered, folder=str(self.path)).encode())
        _write(self.path / "offered.json", offered.to_bytes())

    def read(self) -> Request:
        """Read the request again, checked against its manifests.

        Raises:
            RequestError: the folder holds none, or a file was changed.
        """
        try:
            presented = RequestPresented.model_validate_json((self.path / "invitation.json").read_bytes())
            content = (self.path / "request.json").read_bytes()
            files = file_names(one.name for one in presented.documents)
            documents = {name: (self.path / "documents" / file).read_bytes() for name, file in files.items()}
        except (OSError, ValidationError) as error:
            raise RequestError(
                f"{self.path} holds no request; `linepool provider inbox` makes such folders"
            ) from error
        return Request.of(presented, content, documents)

    def read_offered(self) -> AccessOffered:
        """Read the offer of access. Raises RequestError where there is none."""
        try:
            return AccessOffered.model_validate_json((self.path / "offered.json").read_bytes())
        except (OSError, ValidationError) as error:
            raise RequestError(f"{self.path} holds no offer of access") from error

    def subject(self) -> tuple[UUID, int]:
        """Return purchase and version, whether the request is shown already or was only offered."""
        file = self.path / "invitation.json"
        try:
            said: RequestPresented | AccessOffered = RequestPresented.model_validate_json(file.read_bytes())
        except (OSError, ValidationError):
            said = self.read_offered()
        return said.purchase_id, said.request_version

    def is_of_another(self, purchase_id: UUID) -> bool:
        """Whether another request stands here: whoever opens a group chooses its id, and so what it begins with."""
        try:
            return self.subject()[0] != purchase_id
        except RequestError:
            return False

    def next_revision(self) -> int:
        """Return the revision of a reply that replaces all that were sent from here."""
        found = (re.fullmatch(r"(\d{4})\.json", file.name) for file in self._replies.glob("*.json"))
        return 1 + max((int(one[1]) for one in found if one), default=0)

    def unanswered(self) -> tuple[int, bytes] | None:
        """Return revision and bytes of the newest reply, where its receipt has not come yet."""
        revision = self.next_revision() - 1
        if revision == 0 or self._answer(revision).exists():
            return None
        return revision, (self._replies / f"{revision:04}.json").read_bytes()

    def keep_reply(self, revision: int, body: bytes) -> None:
        """Keep a reply before it is sent, so that the same bytes can be sent again."""
        _write(self._replies / f"{revision:04}.json", body)

    def keep_answer(self, revision: int, notice: bytes) -> Path:
        """Keep what came back, and return where."""
        _write(self._answer(revision), notice)
        return self._answer(revision)

    def last_receipt(self) -> ReceiptIssued:
        """Return the receipt of the newest reply that was taken. Raises RequestError where there is none."""
        for file in sorted(self._replies.glob("*.receipt.json"), reverse=True):
            try:
                return ReceiptIssued.model_validate_json(file.read_bytes())
            except ValidationError:
                continue
        raise RequestError(f"no reply with a receipt stands in {self._replies}")

    @property
    def _replies(self) -> Path:
        return self.path / "replies"

    def _answer(self, revision: int) -> Path:
        return self._replies / f"{revision:04}.receipt.json"


def write_notices(inbox: Path, entries: Iterable[Entry]) -> None:
    """Keep every notice, a JSON object a line, in the topic's order, behind those that were kept before.

    What was kept stays although the topic has it no longer: a receipt is proved by all answers before it, and a topic loses
    its beginning by retention, and its end where Kafka is restored to an older copy.
    """
    file = inbox / NOTICES
    kept = file.read_bytes().splitlines() if file.exists() else []
    known = {_notice(line) for line in kept}
    for entry in entries:
        if entry.topic.startswith("notices."):
            line = orjson.dumps(as_json(entry))
            if (notice := _notice(line)) not in known:
                known.add(notice)
                kept.append(line)
    _write(file, b"".join(line + b"\n" for line in kept))


def _notice(line: bytes) -> tuple[str | None, bytes]:
    """Return what makes a notice another one: its id and what it says, wherever it stands."""
    found = orjson.loads(line)
    return found["id"], orjson.dumps(found["message"], option=orjson.OPT_SORT_KEYS)


def write_news(folder: Folder, subject: UUID, entries: Iterable[Entry]) -> None:
    """Keep what was said about one request, by the broker's time."""
    about = [entry for entry in entries if entry.envelope.subject == str(subject)]
    lines = [one_line(entry) for entry in sorted(about, key=lambda entry: entry.appended_at)]
    _write(folder.path / "news.txt", "".join(f"{line}\n" for line in lines).encode())


def folder_of(inbox: Path, message: RequestPresented | AccessOffered) -> Folder:
    """Return the folder of a request; its title may hold anything, the folder's name does not."""
    readable = re.sub(r"[^a-z0-9]+", "-", message.title.lower()).strip("-")[:40].strip("-") or "request"
    version = f"-v{message.request_version}" if message.request_version > 1 else ""
    short = Folder(inbox / f"{readable}-{str(message.purchase_id)[:8]}{version}")
    if short.is_of_another(message.purchase_id):
        return Folder(inbox / f"{readable}-{message.purchase_id}{version}")
    return short


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return a harmless and different file name for each document."""
    found: dict[str, str] = {}
    for name in names:
        harmless = re.sub(r"[^A-Za-z0-9._-]+", "_", name).lstrip(".")[-80:] or "document"
        taken = {one.lower() for one in found.values()}
        found[name] = harmless if harmless.lower() not in taken else f"{len(found)}-{harmless}"
    return found


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # A reader, or a crash in the middle, never sees half a file.
    new = file.with_name(file.name + ".new")
    new.write_bytes(content)
    new.replace(file)
