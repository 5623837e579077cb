"""Files from the network: bounded in time, resumed where they broke off, verified before they exist.

While a file is on its way, `NAME.part` holds the bytes so far and `NAME.part.json` what they
are bytes of; the target appears, complete and verified, in one rename. A file that another
process is fetching is waited for.

`HARNESS_MIRROR`, the base URL of a server that holds the same paths, takes the place of scheme
and host of what `mirrored` is asked for. Proxies are those of the environment (`http_proxy`,
`https_proxy`, `no_proxy`), certificates those that Python trusts (`SSL_CERT_FILE` adds others).
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import json
import os
import queue
import re
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, NoReturn, cast
from urllib import request as urlrequest
from urllib.error import URLError
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

from harness.errors import FetchError, NoNetwork, UsageError
from harness.folders import cache_folder
from harness.types import Progress

__all__ = ["Refused", "download", "host_reachable", "mirrored", "sole_use"]

REACH_SECONDS = 8.0
"""For name, connection, proxy and TLS together: that there is no network is known within 10 seconds."""

BACKOFF_SECONDS = (0.5, 1.0, 2.0)
"""Pauses before the second, third and last attempt."""

MAX_REDIRECTS = 5
PIECE_BYTES = 1 << 18
REDIRECTS = frozenset({301, 302, 303, 307, 308})
STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]*"')
HTTP_DATE = re.compile(r"[A-Za-z0-9,: +-]{10,40}")
CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18}|\*)")


class Refused(FetchError):
    """The server answered, and the answer is no: `status` is its HTTP status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _Unreachable(Exception):
    """No connection; not an `OSError`, which urllib would wrap."""


class _Interrupted(Exception):
    """A fault that another attempt may not meet."""


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
    timeout_s: float = 10,
    authorization: str | None = None,
) -> Path:
    """Return `target` once it holds the file at `url`; no byte is sent twice that a broken attempt left.

    A target that exists (and has the right `size` and `sha256`, where given) is returned without a
    connection. `authorization` is the value of that header; only the URL's own scheme, host and
    port see it, no redirect to another.

    Raises `NoNetwork` within 10 seconds when the host cannot be reached; `Refused` when the server
    says no (4xx); `FetchError` for a server that stalls (no byte for `timeout_s`), breaks off or fails
    four times in a row, for wrong bytes, for a redirect to anything but http(s), and for a disk that
    is full or not writable.
    """
    source = _Source(_checked(url), authorization, timeout_s)
    part = _Part(target)
    with _disk(part), sole_use(target, progress):
        if target.is_file() and _difference(target, size, sha256) is None:
            return target
        _complete(source, part, size, sha256, progress)
        difference = _difference(part.path, size, sha256)
        if difference is not None:
            part.discard()
            raise FetchError(
                f"{_shown(url)}: wrong bytes: {difference}; nothing was kept, "
                "try again or put the right file in place by hand"
            )
        part.finish()
    return target


def host_reachable(url: str, timeout_s: float = 5) -> bool:
    """Return whether the host of `url` answers HTTP, whatever it answers; known within `timeout_s`."""
    try:
        _request(_checked(url), {}, timeout_s / 2, method="HEAD").close()
    except (FetchError, _Interrupted):
        return False
    return True


def mirrored(url: str, mirror: str | None = None) -> str:
    """Return `url` as the mirror serves it: `mirror`, else `HARNESS_MIRROR`, else unchanged.

    >>> mirrored("https://example.org/a/b.zip?v=1", "http://intranet:8000/files/")
    'http://intranet:8000/files/a/b.zip?v=1'
    """
    base = mirror or os.environ.get("HARNESS_MIRROR")
    if not base:
        return url
    try:
        _checked(base)
    except FetchError as error:
        raise UsageError(f"HARNESS_MIRROR or base URL: {error}") from error
    parts = urlsplit(url)
    return base.rstrip("/") + urlunsplit(("", "", parts.path, parts.query, ""))


@contextmanager
def sole_use(path: Path, progress: Progress | None = None) -> Iterator[None]:
    """Hold `path` against every other process that asks for it so; wait for the one that does.

    The lock lies in the cache: the folder of `path` is often somebody else's.
    """
    from filelock import FileLock, Timeout

    path.parent.mkdir(parents=True, exist_ok=True)
    locks = cache_folder() / "locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{hashlib.sha256(bytes(path.absolute())).hexdigest()[:32]}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if progress is not None:
            progress(f"waiting for another process that fetches {path.name}", None)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@dataclass(frozen=True)
class _Source:
    """Where the bytes come from, and how long a silence is borne."""

    url: str
    authorization: str | None
    timeout_s: float


@dataclass(frozen=True)
class _Origin:
    """What the bytes of a part are bytes of: the server's names for this version of the file."""

    url: str
    etag: str | None
    modified: str | None
    total: int | None

    @classmethod
    def of(cls, url: str, response: http.client.HTTPResponse) -> _Origin:
        etag = response.headers.get("ETag", "")
        modified = response.headers.get("Last-Modified", "")
        return cls(
            url,
            etag if STRONG_ETAG.fullmatch(etag) else None,
            modified if HTTP_DATE.fullmatch(modified) else None,
            response.length,
        )

    @property
    def validator(self) -> str | None:
        """What If-Range is told."""
        return self.etag or self.modified


class _Part:
    """The bytes received so far and, beside them, their origin."""

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self.note = target.with_name(target.name + ".part.json")

    @property
    def held(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    def origin(self) -> _Origin | None:
        """Return the origin that was noted; None when there is none or it cannot be read."""
        try:
            noted = _Origin(**json.loads(self.note.read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        texts = isinstance(noted.etag or "", str) and isinstance(noted.modified or "", str)
        return noted if texts and isinstance(noted.total or 0, int) else None

    def restart(self, origin: _Origin) -> None:
        """Empty the part before its origin is noted: a kill in between leaves nothing to resume."""
        self.path.write_bytes(b"")
        self.note.write_text(json.dumps(asdict(origin)), "utf-8")

    def resumable(self, url: str, anyhow: bool) -> _Origin | None:
        """Return the origin if a request may go on from `held`; `anyhow` where a digest will tell."""
        origin = self.origin()
        if origin is None or origin.url != url or not self.held:
            return None
        if origin.total is not None and self.held > origin.total:
            return None
        return origin if origin.validator or anyhow else None

    def discard(self) -> None:
        self.path.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def finish(self) -> None:
        with self.path.open("rb") as received:
            os.fsync(received.fileno())
        self.path.replace(self.target)
        self.note.unlink(missing_ok=True)


class _Meter:
    """Says how far a download is and how fast it goes, ten times a second at most."""

    def __init__(self, name: str, held: int, progress: Progress | None) -> None:
        self.name = name
        self.held_at_start = held
        self.progress = progress
        self.started = time.monotonic()
        self.told = 0.0

    def tell(self, held: int, total: int | None) -> None:
        now = time.monotonic()
        if self.progress is None or (now - self.told < 0.1 and held != total):
            return
        self.told = now
        rate = (held - self.held_at_start) / max(now - self.started, 1e-3)
        of_total = f" of {total / 1e6:.1f}" if total else ""
        text = f"downloading {self.name}: {held / 1e6:.1f}{of_total} MB, {rate / 1e6:.1f} MB/s"
        self.progress(text, min(held / total, 1.0) if total else None)


def _complete(
    source: _Source, part: _Part, size: int | None, sha256: str | None, progress: Progress | None
) -> None:
    """Fill the part to its end, in four attempts at most."""
    for pause in (*BACKOFF_SECONDS, None):
        try:
            _attempt(source, part, size, sha256 is not None, progress)
            return
        except _Interrupted as fault:
            if pause is None:
                raise FetchError(
                    f"{_shown(source.url)}: {fault}, {len(BACKOFF_SECONDS) + 1} times; "
                    f"{part.held} bytes are kept, the same command goes on from there if the server lets it"
                ) from fault
            if progress is not None:
                progress(f"downloading {part.target.name}: {fault}; trying again", None)
            time.sleep(pause)


def _attempt(
    source: _Source, part: _Part, size: int | None, has_digest: bool, progress: Progress | None
) -> None:
    origin = part.resumable(source.url, anyhow=has_digest)
    if origin is not None and part.held == origin.total:
        return
    held = part.held if origin is not None else 0
    response = _answer(source, _range_headers(held, origin))
    try:
        if response.status == HTTPStatus.OK:
            origin = _Origin.of(source.url, response)
            part.restart(origin)
        elif response.status == HTTPStatus.PARTIAL_CONTENT and origin is not None:
            origin = _continued(origin, held, response, part)
        else:
            _refuse(source.url, response, part)
        _check_room(source.url, part, size, origin.total)
        _receive(source, response, part, origin.total, size, progress)
    finally:
        response.close()


def _range_headers(held: int, origin: _Origin | None) -> dict[str, str]:
    if origin is None:
        return {}
    headers = {"Range": f"bytes={held}-"}
    if origin.validator is not None:
        headers["If-Range"] = origin.validator
    return headers


def _continued(origin: _Origin, held: int, response: http.client.HTTPResponse, part: _Part) -> _Origin:
    """Return the origin with its total, once the answer is known to go on where the part ends."""
    now = _Origin.of(origin.url, response)
    span = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    total = int(span[2]) if span and span[2] != "*" else origin.total
    same = (
        span is not None
        and int(span[1]) == held
        and (now.etag is None or now.etag == origin.etag)
        and (now.modified is None or now.modified == origin.modified)
        and (origin.total is None or total == origin.total)
    )
    if not same:
        part.discard()
        raise _Interrupted("the server's file changed while it was fetched")
    return _Origin(origin.url, origin.etag, origin.modified, total)


def _refuse(url: str, response: http.client.HTTPResponse, part: _Part) -> NoReturn:
    status = response.status
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        part.discard()
        raise _Interrupted("the server's file is shorter than what was received before")
    phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "unknown status"
    if status >= 500:
        raise _Interrupted(f"the server failed (HTTP {status} {phrase})")
    raise Refused(f"{_shown(url)}: the server answered HTTP {status} ({phrase})", status)


def _check_room(url: str, part: _Part, size: int | None, total: int | None) -> None:
    """Raise `FetchError`, before a byte is written, for another size or one too large for the disk."""
    if total is None:
        return
    if size is not None and total != size:
        part.discard()
        raise FetchError(f"{_shown(url)}: the server has {total} bytes, expected {size}")
    free = shutil.disk_usage(part.path.parent).free
    if total - part.held > free:
        if not part.held:
            part.discard()
        raise FetchError(
            f"{_shown(url)}: {total - part.held} bytes are missing and {str(part.path.parent)!r} "
            f"has room for {free}; free some space"
        )


def _receive(
    source: _Source,
    response: http.client.HTTPResponse,
    part: _Part,
    total: int | None,
    size: int | None,
    progress: Progress | None,
) -> None:
    held = part.held
    meter = _Meter(part.target.name, held, progress)
    most = total if total is not None else size
    with part.path.open("ab") as out:
        for piece in _pieces(response, source.timeout_s):
            out.write(piece)
            out.flush()  # what a killed process received is not lost
            held += len(piece)
            meter.tell(held, total)
            if most is not None and held > most:
                break
    if most is not None and held > most:
        part.discard()
        raise FetchError(f"{_shown(source.url)}: the server sends more than the expected {most} bytes")
    # A server that names no length ends a file by hanging up; headers cut short look like that too.
    if held < (1 if most is None else most):
        raise _Interrupted(f"the connection ended after {held} of {most or 'unknown'} bytes")


def _pieces(response: http.client.HTTPResponse, timeout_s: float) -> Iterator[bytes]:
    """Yield what arrives, as it arrives. Raises `_Interrupted` for silence and broken connections."""
    try:
        while piece := response.read1(PIECE_BYTES):
            yield piece
    except TimeoutError as error:
        raise _Interrupted(f"stalled: no byte for {timeout_s:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(f"the connection broke ({_reason(error)})") from error


def _difference(path: Path, size: int | None, sha256: str | None) -> str | None:
    """Return what is wrong with a file, None when nothing is."""
    got_size = path.stat().st_size
    if size is not None and got_size != size:
        return f"got {got_size} bytes, expected {size}"
    if sha256 is None:
        return None
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    return None if got == sha256.lower() else f"got SHA-256 {got}, expected {sha256}"


@contextmanager
def _disk(part: _Part) -> Iterator[None]:
    """Turn a disk that is full or not writable into one line; a full disk keeps nothing of ours."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            with suppress(OSError):
                part.discard()
        raise FetchError(
            f"cannot write {str(part.target)!r}: {error.strerror or error}; "
            "free some space or choose another folder (HARNESS_CACHE)"
        ) from error


def _answer(source: _Source, headers: dict[str, str]) -> http.client.HTTPResponse:
    """Return the first answer that is no redirect. Raises as `download` does, or `_Interrupted`."""
    url = source.url
    for _ in range(MAX_REDIRECTS + 1):
        own = _site(url) == _site(source.url)
        login = {"Authorization": source.authorization} if source.authorization and own else {}
        response = _request(url, headers | login, source.timeout_s)
        if response.status not in REDIRECTS:
            return response
        response.close()
        url = _redirected(url, response.headers.get("Location"))
    raise FetchError(f"{_shown(source.url)}: more than {MAX_REDIRECTS} redirects, the last to {_shown(url)}")


def _redirected(url: str, location: str | None) -> str:
    if not location:
        raise FetchError(f"{_shown(url)}: redirects to nowhere")
    try:
        onward = _checked(urljoin(url, location))
    except (FetchError, ValueError) as error:
        raise FetchError(f"{_shown(url)}: redirect refused: {error}") from error
    if url.startswith("https:") and not onward.startswith("https:"):
        raise FetchError(f"{_shown(url)}: redirect refused: {_shown(onward)} is not encrypted")
    return onward


def _request(
    url: str, headers: dict[str, str], timeout_s: float, method: str = "GET"
) -> http.client.HTTPResponse:
    """Return the answer to one request, whatever its status.

    Raises `NoNetwork`, `FetchError` (certificate, unusable proxy) or `_Interrupted`.
    """
    asked = urlrequest.Request(url, headers=headers, method=method)
    host = urlsplit(url).netloc
    try:
        response = _opener().open(asked, timeout=timeout_s)
    except ValueError as error:
        raise FetchError(
            f"a proxy of the environment (http_proxy, https_proxy) is no URL: {error}"
        ) from error
    except _Unreachable as error:
        through = "" if asked.host == host else f" through the proxy {asked.host!r}"
        raise NoNetwork(
            f"no network: cannot reach {host!r}{through}: {error}; "
            "connect to a network or put the files in place by hand (HARNESS_DATA)"
        ) from error
    except TimeoutError as error:
        raise _Interrupted(f"stalled: no answer for {timeout_s:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Interrupted(f"the connection broke ({_reason(error)})") from error
    if response is None:
        raise FetchError(f"{_shown(url)}: the proxy {asked.host!r} is of a kind that is not supported")
    if response.status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED and asked.host != host:
        response.close()
        raise NoNetwork(f"no network: the proxy {asked.host!r} wants a login to reach {host!r}")
    return cast(http.client.HTTPResponse, response)


def _opener() -> urlrequest.OpenerDirector:
    """Return an opener that knows http, https and proxies: no files, no FTP, no redirects of its own."""
    opener = urlrequest.OpenerDirector()
    opener.addheaders = [("User-Agent", "ct-harness")]
    for handler in (urlrequest.ProxyHandler(), _HTTP(), _HTTPS()):
        opener.add_handler(handler)
    return opener


class _HTTP(urlrequest.HTTPHandler):
    def http_open(self, req: urlrequest.Request) -> http.client.HTTPResponse:
        return self.do_open(_PlainConnection, req)


class _HTTPS(urlrequest.HTTPSHandler):
    def https_open(self, req: urlrequest.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, req, context=ssl.create_default_context())


class _Bounded(http.client.HTTPConnection):
    """A connection that is up, and headers that are complete, within a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._create_connection = _socket_to

    def connect(self) -> None:
        try:
            super().connect()
        except ssl.SSLCertVerificationError as error:
            raise FetchError(
                f"{self.host!r}: its certificate is not trusted ({error.verify_message}); "
                "if your network inspects traffic, name its authority in SSL_CERT_FILE"
            ) from error
        except OSError as error:
            raise _Unreachable(_reason(error)) from error
        self.sock.settimeout(self.timeout)

    def getresponse(self) -> http.client.HTTPResponse:
        """Return the answer; raise `TimeoutError` for headers that drip, which no socket time-out sees."""
        late = threading.Event()
        guard = threading.Timer(self.timeout or REACH_SECONDS, _hang_up, (self.sock, late))
        guard.daemon = True
        guard.start()
        try:
            response = super().getresponse()
        except (OSError, http.client.HTTPException):
            if late.is_set():
                raise TimeoutError("headers") from None
            raise
        finally:
            guard.cancel()
        if late.is_set():
            response.close()
            raise TimeoutError("headers")
        return response


class _PlainConnection(_Bounded):
    pass


class _SecureConnection(_Bounded, http.client.HTTPSConnection):
    pass


def _hang_up(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _socket_to(
    address: tuple[str, int],
    timeout_s: float,
    source_address: tuple[str, int] | None = None,  # noqa: ARG001 - http.client passes it
) -> socket.socket:
    """Return a connected socket whose time-out is half of what remains of `REACH_SECONDS`."""
    budget_s = min(REACH_SECONDS, timeout_s)
    deadline = time.monotonic() + budget_s
    addresses = _addresses(*address, budget_s)
    fault: OSError = TimeoutError("no time left to connect")
    for i, (family, kind, protocol, _, where) in enumerate(addresses):
        share_s = (deadline - time.monotonic()) / (len(addresses) - i)
        if share_s <= 0:
            break
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(share_s)
            sock.connect(where)
        except OSError as error:
            fault = error
            sock.close()
            continue
        sock.settimeout(max(deadline - time.monotonic(), 0.02) / 2)  # for the proxy, then for TLS
        return sock
    raise fault


def _addresses(host: str, port: int, timeout_s: float) -> list[Any]:
    """Return what the name resolves to; the resolver's own patience is not ours, so it gets a thread."""
    answer: queue.SimpleQueue[list[Any] | Exception] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            answer.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.put(error)

    threading.Thread(target=resolve, daemon=True, name=f"resolve {host}").start()
    try:
        found = answer.get(timeout=timeout_s)
    except queue.Empty:
        raise TimeoutError(f"no answer to its name within {timeout_s:g} s") from None
    if isinstance(found, Exception):
        raise OSError(f"its name is not known ({_reason(found)})") from found
    return found


def _checked(url: str) -> str:
    """Return the URL with its path quoted. Raises `FetchError` for what is not plain http(s)."""
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        raise FetchError(f"{url!r} is no URL: {error}") from error
    if parts.scheme not in ("http", "https"):
        raise FetchError(f"{url!r}: only http and https are fetched, not {parts.scheme!r}")
    if not parts.hostname or not port_is_fine or not re.fullmatch(r"[\w.:\[\]-]+", parts.netloc, re.ASCII):
        raise FetchError(f"{_shown(url)}: expected http(s)://host/path, without a login")
    return _quoted(parts)


def _quoted(parts: SplitResult) -> str:
    safe = "/%:;=@&+$,!~*'()?[]-._"
    return urlunsplit(
        (parts.scheme, parts.netloc, quote(parts.path, safe) or "/", quote(parts.query, safe), "")
    )


def _site(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _shown(url: str) -> str:
    """Return the URL as a message may show it: quoted, without login and query, which may be secrets."""
    parts = urlsplit(url)
    return repr(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", "")))


def _reason(error: Exception) -> str:
    """Return an error of the network in a few words on one line."""
    inner = error.reason if isinstance(error, URLError) and isinstance(error.reason, Exception) else error
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    # It may quote the server, which must not write to the user's terminal.
    return "".join(c if c.isprintable() else "?" for c in " ".join(str(text).split())[:120])
