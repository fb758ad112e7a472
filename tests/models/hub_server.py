"""A hub on loopback that speaks the real protocol, and misbehaves when it is told to.

Repository info and search under ``/api/models``, metadata under ``/{repo}/resolve/...`` with a redirect
to another host (``localhost`` instead of ``127.0.0.1``) where the bytes lie, as the real hub does.
"""

import hashlib
import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "5f0b02c75b57c5855da9ae460ce51323ea669d8a"
PIECE = 64 * 1024
"""Bytes that are sent at a time."""


@dataclass
class Repo:
    """A repository with its files."""

    files: dict[str, bytes]
    commit: str = COMMIT
    gated: bool = False
    licence: str = "apache-2.0"
    token: str = ""
    """What it takes to read a gated one."""


@dataclass
class Fault:
    """What happens to one request for bytes, after ``after`` bytes were sent."""

    kind: Literal["drop", "reset", "stall", "truncate", "no_ranges", "other_range"]
    after: int = 0


@dataclass
class Sent:
    """A request for bytes that was answered."""

    file: str
    start: int
    count: int = 0
    """Bytes that were given to the system to send."""
    token: bool = False
    """Whether the request carried one."""

    @property
    def range(self) -> range:
        return range(self.start, self.start + self.count)


@dataclass
class Hub:
    """The server's state; change it while it runs."""

    url: str
    port: int
    repos: dict[str, Repo] = field(default_factory=dict)
    faults: deque[Fault] = field(default_factory=deque)
    answers: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    """Status and headers with which the next requests are answered, whatever they ask."""
    cdn_answers: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    corrupt_at: int | None = None
    """Offset of a byte that is sent changed."""
    bytes_per_second: float = 0.0
    cdn_host: str = "localhost"
    sent: list[Sent] = field(default_factory=list)
    requests: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of all that were made."""
    pause_after: int | None = None
    """Wait for `go` once so many bytes of a file were sent, counted from its start."""
    paused: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    closing: threading.Event = field(default_factory=threading.Event)

    def fetched_twice(self, file: str) -> int:
        """Bytes of ``file`` that were sent more than once."""
        spans = sorted((s.start, s.start + s.count) for s in self.sent if s.file == file and s.count)
        twice = reached = 0
        for start, end in spans:
            twice += max(0, min(end, reached) - start)
            reached = max(reached, end)
        return twice


@contextmanager
def running_hub(tls: ssl.SSLContext | None = None) -> Iterator[Hub]:
    """A hub that ends with the block; with ``tls`` it speaks HTTPS."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        port = server.server_address[1]
        server.hub = hub = Hub(f"{'https' if tls else 'http'}://127.0.0.1:{port}", port)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield hub
        finally:
            hub.closing.set()
            hub.go.set()
            server.shutdown()
            thread.join()


class _Server(ThreadingHTTPServer):
    hub: Hub
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def setup(self) -> None:
        # What lies in buffers counts as sent; small ones keep the count honest.
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        super().setup()

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server.hub
        path = unquote(urlsplit(self.path).path)
        hub.requests.append((self.command, path))
        if path.startswith("/cdn/"):
            if hub.cdn_answers:
                self._say(*hub.cdn_answers.popleft())
            else:
                self._bytes(path.removeprefix("/cdn/"))
        elif hub.answers:
            self._say(*hub.answers.popleft())
        elif path == "/api/models":
            self._search()
        elif path.startswith("/api/models/"):
            repo, _, revision = path.removeprefix("/api/models/").partition("/revision/")
            self._info(repo, revision)
        elif "/resolve/" in path:
            repo, _, rest = path[1:].partition("/resolve/")
            revision, _, file = rest.partition("/")
            self._resolve(repo, revision, file)
        else:
            self._say(404, {})

    def _search(self) -> None:
        words = parse_qs(urlsplit(self.path).query).get("search", [""])[0].lower()
        found = [
            self._card(name, repo) | {"downloads": 7, "likes": 3}
            for name, repo in self.server.hub.repos.items()
            if words in name.lower()
        ]
        self._json(found)

    def _info(self, name: str, revision: str) -> None:
        repo = self._allowed(name, revision, api=True)
        if repo:
            siblings = [
                {
                    "rfilename": file,
                    "size": len(content),
                    "blobId": hashlib.sha1(content).hexdigest(),
                    **(
                        {"lfs": {"sha256": _sha(content), "size": len(content), "pointerSize": 134}}
                        if file.endswith(".gguf")
                        else {}
                    ),
                }
                for file, content in repo.files.items()
            ]
            self._json(self._card(name, repo) | {"sha": repo.commit, "siblings": siblings})

    def _card(self, name: str, repo: Repo) -> dict[str, Any]:
        return {
            "_id": "1",
            "id": name,
            "modelId": name,
            "gated": "manual" if repo.gated else False,
            "private": False,
            "lastModified": "2026-10-01T12:00:00.000Z",
            "tags": ["gguf", f"license:{repo.licence}"],
        }

    def _resolve(self, name: str, revision: str, file: str) -> None:
        repo = self._allowed(name, revision, api=False)
        if repo is None:
            return
        if file not in repo.files:
            self._say(404, {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found"})
            return
        content = repo.files[file]
        headers = {"X-Repo-Commit": repo.commit, "X-Linked-Size": str(len(content))}
        headers |= {"X-Linked-Etag": f'"{_sha(content)}"', "ETag": f'"{_sha(content)}"'}
        hub = self.server.hub
        headers["Location"] = hub.url.replace("127.0.0.1", hub.cdn_host) + f"/cdn/{name}/{file}"
        self._say(302, headers)

    def _allowed(self, name: str, revision: str, *, api: bool) -> Repo | None:
        repo = self.server.hub.repos.get(name)
        if repo is None:
            self._say(401 if api else 404, {"X-Error-Code": "RepoNotFound"})
            return None
        if repo.gated and self.headers.get("Authorization") != f"Bearer {repo.token}":
            self._say(
                403, {"X-Error-Code": "GatedRepo", "X-Error-Message": f"Access to {name} is restricted"}
            )
            return None
        if revision not in ("main", "", repo.commit):
            self._say(404, {"X-Error-Code": "RevisionNotFound"})
            return None
        return repo

    def _bytes(self, path: str) -> None:
        hub = self.server.hub
        owner, name, file = path.split("/", 2)
        content = hub.repos[f"{owner}/{name}"].files[file]
        fault = hub.faults.popleft() if hub.faults and self.command == "GET" else None
        wanted = self.headers.get("Range", "")
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        end = len(content)
        if start >= end:
            self._say(416, {"Content-Range": f"bytes */{end}"})
            return
        if fault and fault.kind == "no_ranges":
            wanted, start = "", 0
        if fault and fault.kind == "other_range":
            start = fault.after
        if fault and fault.kind == "truncate":
            end = min(end, start + fault.after)
        sent = Sent(file, start, token="Authorization" in self.headers)
        if self.command == "GET":
            hub.sent.append(sent)
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        self.end_headers()
        if self.command == "GET":  # a body after HEAD would be read as the next answer
            with suppress(OSError):
                self._send(content, sent, end, fault)

    def _send(self, content: bytes, sent: Sent, end: int, fault: Fault | None) -> None:
        hub = self.server.hub
        view = memoryview(content)
        while sent.range.stop < end:
            at = sent.range.stop
            if fault and fault.kind in ("drop", "reset", "stall") and sent.count >= fault.after:
                if fault.kind == "stall":
                    hub.closing.wait()
                if fault.kind == "reset":
                    self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                if fault.kind == "drop":
                    self.request.shutdown(socket.SHUT_RDWR)
                self.request.close()
                return
            if hub.pause_after is not None and at >= hub.pause_after:
                hub.paused.set()
                hub.go.wait()
            piece = bytes(view[at : min(at + PIECE, end)])
            if hub.corrupt_at is not None and at <= hub.corrupt_at < at + len(piece):
                changed = bytearray(piece)
                changed[hub.corrupt_at - at] ^= 0x10
                piece = bytes(changed)
            while piece:
                count = self.request.send(piece)
                sent.count += count
                piece = piece[count:]
            if hub.bytes_per_second:
                time.sleep(PIECE / hub.bytes_per_second)

    def _json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _say(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
