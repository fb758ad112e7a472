"""The puller: the one process that connects, and the only file that imports huggingface_hub.

It is told over its pipe what to do (``hub_protocol.py``), may open IP connections, look up names and
write into one folder; it can read neither the store nor its key, nor start a process. What a person
wrote never gets here. The token of the hub comes over the pipe and stays in memory.

huggingface_hub talks to the hub: search, repository info, the metadata of a file (commit, hash, size,
where its bytes lie), headers, errors. Its ``hf_hub_download`` is not used: it keeps up to 10 MB in memory
before it writes, cannot pause or be slowed down, and its resuming ends with the process. So the bytes are
read here, over the library's own session, and every 64 KiB are in the file before the next are read:
whatever ends this process, what had come is there. Xet is switched off: it stores chunks elsewhere and
connects from native code, where no host can be refused.

The app hashes the file while it grows (``pull.py``): who talks to the network does not vouch for it.
"""

import contextlib
import errno
import os
import re
import ssl
import stat
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from localai_app.models.hub_protocol import (
    MAX_FILES,
    MAX_LINE,
    VERSION,
    Cancel,
    Configure,
    Connected,
    Describe,
    Described,
    Event,
    Failed,
    FailureCode,
    Fetch,
    Fetched,
    Fetching,
    Found,
    FoundRepository,
    Limit,
    Ready,
    RepositoryFile,
    Request,
    Search,
    Waiting,
    decode_request,
    encode,
)
from localai_app.processes import ChildIO

if TYPE_CHECKING:
    import httpx2

ENVIRONMENT = {
    "HF_HUB_DISABLE_XET": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_UPDATE_CHECK": "1",
    "HF_HUB_OFFLINE": "0",
    "HF_HOME": "/nonexistent",
}
"""Read by huggingface_hub when it is imported; ``HF_ENDPOINT`` comes with `Configure`."""

_PROGRESS_SECONDS = 0.1
_SYNC_SECONDS = 2.0
"""How often what was written is brought to the disk, so that little is left to do at the end."""
_LONGEST_WAIT = 30.0
_PATIENCE = 120.0
"""Longest wait that a busy hub may ask for; a longer one is told to the person."""
_QUICK_TRIES = 2
"""For what a person waits for."""
_RETRIED = ("server", "dns", "network", "stalled", "too_many_requests")
_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class _Problem(Exception):
    """Why something cannot be done."""

    def __init__(self, code: FailureCode, detail: str = "", retry_after: float = 0.0) -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.retry_after = retry_after


def main(io: ChildIO) -> int:
    """Do what comes in until the input ends."""
    with open(io.input_fd, "rb", closefd=False) as lines:
        requests = (decode_request(line) for line in iter(lambda: lines.readline(MAX_LINE + 1), b""))
        configure = next(requests, None)
        if isinstance(configure, Configure):
            puller = _Puller(io, configure)
            for request in requests:
                puller.take(request)
    os._exit(0)


class _Puller:
    """One configuration, and the requests that are under way."""

    def __init__(self, io: ChildIO, configure: Configure) -> None:
        self._io = io
        self._configure = configure
        self._writing = threading.Lock()
        self._part_lock = threading.Lock()
        self._stops: dict[int, threading.Event] = {}
        self._hosts: set[tuple[str, bool]] = set()
        self._pace = _Pace()
        # Only now, because the library reads its settings when it is imported.
        os.environ.update(ENVIRONMENT, HF_ENDPOINT=configure.endpoint)
        import huggingface_hub  # noqa: PLC0415

        self._library: Any = huggingface_hub
        huggingface_hub.set_client_factory(self._make_client)
        self._api = huggingface_hub.HfApi(
            endpoint=configure.endpoint,
            token=configure.token or False,
            library_name="localai-app",
            library_version="1",
        )
        self._send(Ready(VERSION, f"huggingface_hub {huggingface_hub.__version__}", io.confinement))

    def take(self, request: Request) -> None:
        """Begin ``request`` in a thread of its own."""
        if isinstance(request, Limit):
            self._pace.limit = request.bytes_per_second
        elif isinstance(request, Cancel):
            with self._part_lock:  # once this is done the request writes nothing more
                if stop := self._stops.get(request.id):
                    stop.set()
        elif not isinstance(request, Configure):
            self._stops[request.id] = threading.Event()
            threading.Thread(target=self._answer, args=(request,), daemon=True).start()

    def _answer(self, request: Search | Describe | Fetch) -> None:
        stop = self._stops[request.id]
        try:
            if isinstance(request, Fetch):
                self._fetch(request, stop)
            else:
                act = self._search if isinstance(request, Search) else self._describe
                self._send(self._retried(request.id, stop, lambda: act(request)))  # type: ignore[arg-type]
        except _Problem as problem:
            self._send(Failed(request.id, problem.code, problem.detail[:1024], problem.retry_after))
        except Exception as error:  # whatever it was, who asked waits for an answer
            self._send(Failed(request.id, "internal", f"{type(error).__name__}"))
        finally:
            del self._stops[request.id]

    def _send(self, event: Event) -> None:
        line = memoryview(encode(event))
        with self._writing:
            while line:
                line = line[os.write(self._io.output_fd, line) :]

    # ------------------------------------------------------------ connections

    def _make_client(self) -> "httpx2.Client":
        """The session of huggingface_hub, with this app's proxy, certificates, patience and hosts.

        What goes wrong leaves it as a `_Problem`: the library would try some requests again by itself,
        for half a minute and longer, and cannot be interrupted.
        """
        import httpx2  # noqa: PLC0415 - after the settings above, with the library that brings it
        import truststore  # noqa: PLC0415

        raise_for_status = self._library.utils.hf_raise_for_status

        class Client(httpx2.Client):
            def send(self, request: httpx2.Request, **named: Any) -> httpx2.Response:
                try:
                    response = super().send(request, **named)
                except httpx2.TransportError as error:
                    raise _problem(error) from error
                try:
                    raise_for_status(response)
                except Exception as error:
                    response.close()
                    raise _problem(error) from error
                return response

        context = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._configure.ca_bundle:
            context.load_verify_locations(self._configure.ca_bundle)
        return Client(
            verify=context,
            proxy=self._configure.proxy or None,
            trust_env=False,
            follow_redirects=True,
            timeout=self._configure.stall_seconds,
            event_hooks={"request": [self._check_host]},
        )

    def _check_host(self, request: "httpx2.Request") -> None:
        """Called by the session before every request, those after a redirect included."""
        host = request.url.host.lower()
        secure = request.url.scheme == "https" or self._configure.endpoint.startswith("http://")
        refused = not (secure and any(_covers(pattern, host) for pattern in self._configure.hosts))
        if (host, refused) not in self._hosts:
            self._hosts.add((host, refused))
            self._send(Connected(host[:1024], refused))
        if refused:
            raise _Problem("refused_host", host)

    def _retried(self, request_id: int, stop: threading.Event, act: Callable[[], Event]) -> Event:
        for attempt in range(_QUICK_TRIES):
            try:
                return act()
            except Exception as error:
                problem = _problem(error)
                last = attempt + 1 == _QUICK_TRIES or problem.code == "too_many_requests"
                if last or problem.code not in _RETRIED:
                    raise problem from error
            self._wait(request_id, stop, problem, self._configure.retry_seconds)
        raise AssertionError("the last try returns or raises")

    def _wait(self, request_id: int, stop: threading.Event, problem: _Problem, seconds: float) -> None:
        self._send(Waiting(request_id, problem.code, seconds))
        if stop.wait(seconds):
            raise _Problem("cancelled")

    # ------------------------------------------------------------ requests

    def _search(self, request: Search) -> Event:
        models = self._api.list_models(
            search=request.text or None,
            filter="gguf",
            sort="downloads",
            limit=request.limit,
            expand=["downloads", "likes", "lastModified", "gated", "tags"],
        )
        return Found(
            request.id,
            tuple(
                FoundRepository(
                    repo=_text(model.id),
                    downloads=int(model.downloads or 0),
                    likes=int(model.likes or 0),
                    updated=model.last_modified.isoformat() if model.last_modified else "",
                    gated=bool(model.gated),
                    licence=_licence(model.tags),
                )
                for model in models
            ),
        )

    def _describe(self, request: Describe) -> Event:
        info = self._api.model_info(
            request.repo,
            revision=request.revision,
            files_metadata=True,
            timeout=self._configure.stall_seconds,
        )
        siblings = (info.siblings or [])[:MAX_FILES]
        return Described(
            request.id,
            repo=_text(info.id),
            revision=_text(info.sha),
            gated=bool(info.gated),
            licence=_licence(info.tags),
            files=tuple(
                RepositoryFile(
                    _text(file.rfilename), int(file.size or 0), _text(file.lfs.sha256 if file.lfs else "")
                )
                for file in siblings
            ),
        )

    def _fetch(self, request: Fetch, stop: threading.Event) -> None:
        part = None
        try:
            part = _open_part(request.part)
            with _synced_from_time_to_time(part):
                self._fetch_into(part, request, stop)
            os.fsync(part)
        except OSError as error:
            raise _problem(error) from error
        finally:
            if part is not None:
                os.close(part)
        self._send(Fetched(request.id, request.size))

    def _fetch_into(self, part: int, request: Fetch, stop: threading.Event) -> None:
        tries = 0
        while (before := os.fstat(part).st_size) != request.size:
            problem = _Problem("network", "the connection ended too early")
            try:
                self._stream(part, request, stop)
            except Exception as error:
                problem = _problem(error)
                if problem.code not in _RETRIED or problem.retry_after > _PATIENCE:
                    raise problem from None
            done = os.fstat(part).st_size
            self._send(Fetching(request.id, done))
            if done == request.size:
                return
            tries = 0 if done > before else tries + 1
            if tries >= self._configure.tries:
                raise problem
            seconds = min(self._configure.retry_seconds * 2 ** max(0, tries - 1), _LONGEST_WAIT)
            self._wait(request.id, stop, problem, max(seconds, problem.retry_after))

    def _stream(self, part: int, request: Fetch, stop: threading.Event) -> None:
        """One connection: append what it brings."""
        library, endpoint = self._library, self._configure.endpoint
        offset = os.fstat(part).st_size
        if offset > request.size:
            offset = self._begin_anew(part, request)
        url = library.hf_hub_url(request.repo, request.file, revision=request.revision, endpoint=endpoint)
        token = self._configure.token or False
        found = library.get_hf_file_metadata(
            url, token=token, timeout=self._configure.stall_seconds, endpoint=endpoint
        )
        _require_unchanged(request, found)
        headers = library.utils.build_hf_headers(token=token, library_name="localai-app", library_version="1")
        if _origin(found.location) != _origin(url):
            headers.pop("authorization", None)  # the token is the hub's, not the storage's behind it
        headers["Accept-Encoding"] = "identity"
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with library.get_session().stream("GET", found.location, headers=headers) as response:
            if offset and response.status_code != 206:  # this server knows no ranges
                offset = self._begin_anew(part, request)
            _require_range(response.headers.get("Content-Range", ""), offset, request.size)
            told = 0.0
            for chunk in response.iter_raw():
                offset += len(chunk)
                if offset > request.size:
                    raise _Problem("changed", "more bytes came than the file has")
                with self._part_lock:
                    if stop.is_set():
                        raise _Problem("cancelled")
                    _write_all(part, chunk)
                if (now := time.monotonic()) - told > _PROGRESS_SECONDS:
                    told = now
                    self._send(Fetching(request.id, offset))
                self._pace.wait(len(chunk), stop)

    def _begin_anew(self, part: int, request: Fetch) -> int:
        """Throw away what has come; 0. The app hears of it before anything else is written."""
        os.ftruncate(part, 0)
        self._send(Fetching(request.id, 0))
        return 0


class _Pace:
    """Slows all requests down to one rate."""

    def __init__(self) -> None:
        self.limit = 0
        self._free_at = 0.0
        self._lock = threading.Lock()

    def wait(self, size: int, stop: threading.Event) -> None:
        """Return when ``size`` more bytes may have come."""
        if not self.limit:
            return
        with self._lock:
            self._free_at = max(self._free_at, time.monotonic()) + size / self.limit
            seconds = self._free_at - time.monotonic()
        stop.wait(seconds)


def _open_part(path: str) -> int:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EACCES, "not a plain file")
    return descriptor


def _write_all(descriptor: int, chunk: bytes) -> None:
    written = os.write(descriptor, chunk)
    while written < len(chunk):
        written += os.write(descriptor, chunk[written:])


@contextlib.contextmanager
def _synced_from_time_to_time(descriptor: int) -> Iterator[None]:
    done = threading.Event()

    def sync() -> None:
        while not done.wait(_SYNC_SECONDS):
            with contextlib.suppress(OSError):  # told again, and heard, at the end
                os.fsync(descriptor)

    thread = threading.Thread(target=sync, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _require_unchanged(request: Fetch, found: Any) -> None:
    """The file must be the one that was chosen: same commit, size and hash."""
    if found.commit_hash and found.commit_hash != request.revision:
        raise _Problem("changed", f"the hub answers with another revision, {found.commit_hash[:12]}")
    if found.size is not None and found.size != request.size:
        raise _Problem("changed", f"it has {found.size:,} bytes now, not {request.size:,}")
    is_hash = found.etag is not None and len(found.etag) == len(request.sha256)
    if request.sha256 and is_hash and found.etag.lower() != request.sha256:
        raise _Problem("changed", f"its SHA-256 is {found.etag[:12]}… now, not {request.sha256[:12]}…")


def _require_range(content_range: str, offset: int, size: int) -> None:
    """What comes must begin at ``offset`` of ``size`` bytes: else it would be appended in the wrong place."""
    if content_range:
        wanted = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", content_range.strip())
        if not wanted or int(wanted[1]) != offset or wanted[2] not in (str(size), "*"):
            raise _Problem("bad_answer", "not the part of the file that was asked for")
    elif offset:
        raise _Problem("bad_answer", "a part of the file, without saying which")


def _problem(error: BaseException) -> _Problem:
    """What went wrong, in the protocol's words."""
    import httpx2  # noqa: PLC0415 - see _make_client
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    if isinstance(error, _Problem):
        return error
    if isinstance(error, HfHubHTTPError):
        return _refusal(error)
    if isinstance(error, httpx2.TimeoutException):
        return _Problem("stalled")
    if isinstance(error, httpx2.ProxyError):
        return _Problem("proxy", str(error))
    if isinstance(error, httpx2.RequestError):
        return _connection_problem(error)
    if isinstance(error, OSError) and not isinstance(error, ConnectionError):
        if error.errno in _NO_SPACE:
            return _Problem("disk_full")
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            return _Problem("not_writable", error.strerror or "")
    if isinstance(error, (ValueError, TypeError, KeyError, AttributeError)):
        return _Problem("bad_answer", type(error).__name__)
    return _Problem("internal", type(error).__name__)


def _connection_problem(error: BaseException) -> _Problem:
    """Why a connection does not stand: the certificate, the name, or the way."""
    import socket  # noqa: PLC0415 - loaded by then

    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return _Problem("tls", cause.verify_message)
        if isinstance(cause, ssl.SSLError) and cause.reason not in ("UNEXPECTED_EOF_WHILE_READING",):
            return _Problem("tls", cause.reason or "")
        if isinstance(cause, socket.gaierror):
            return _Problem("dns", cause.strerror or "")
        cause = cause.__cause__ or cause.__context__
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return _Problem("tls", str(error))
    return _Problem("network", str(error))


def _refusal(error: Any) -> _Problem:
    """What an HTTP status means here."""
    response = error.response
    status, reason = response.status_code, response.headers.get("X-Error-Code", "")
    said = (error.server_message or "").strip().splitlines()
    detail = said[0] if said else ""
    if reason == "GatedRepo":
        return _Problem("gated", detail)
    if status == 429:
        return _Problem("too_many_requests", detail, _retry_after(response.headers))
    if status in (408, 500, 502, 503, 504):
        return _Problem("server", f"HTTP {status}", _retry_after(response.headers))
    codes: dict[int, FailureCode] = {
        401: "unauthorised",
        403: "forbidden",
        404: "not_found",
        407: "proxy",
        410: "not_found",
        416: "changed",
        451: "forbidden",
    }
    return _Problem(codes.get(status, "bad_answer"), detail or f"HTTP {status}")


def _retry_after(headers: Any) -> float:
    """Seconds; 0 where the hub does not say. A date is taken as a long wait."""
    value = str(headers.get("Retry-After", "")).strip()
    if value.isascii() and value.isdigit():
        return float(min(int(value), 86_400))
    return 2 * _PATIENCE if value else 0.0


def _covers(pattern: str, host: str) -> bool:
    return host == pattern or (pattern.startswith("*.") and host.endswith(pattern[1:]))


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port


def _licence(tags: list[str] | None) -> str:
    for tag in tags or []:
        if isinstance(tag, str) and tag.startswith("license:"):
            return _text(tag.removeprefix("license:"))
    return ""


def _text(value: object) -> str:
    """``value`` as a text that the protocol can carry."""
    return value[:1024] if isinstance(value, str) else ""
