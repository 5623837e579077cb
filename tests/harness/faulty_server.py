"""A loopback HTTP server whose files and faults a test chooses, and which logs what it sent."""

from __future__ import annotations

import http.server
import re
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PIECE_BYTES = 16384


@dataclass
class Served:
    """One request and how much of a body was sent in answer to it."""

    method: str
    path: str
    headers: dict[str, str]
    status: int = 0
    sent_bytes: int = 0


@dataclass
class Fault:
    """What goes wrong with one answer; `after` counts the bytes of the body that are sent before it.

    `what`: 'reset', 'stall', 'hang-up', 'drip' (a pause after each piece), 'drip-headers', 'cut-headers',
    'garbage', 'silence', or a status: 'status 503'.
    """

    what: str
    after: int = 0
    pause_s: float = 0.0


@dataclass
class Page:
    """What a path answers: `faults` are used up first, one a request, then it is served well."""

    content: bytes = b""
    etag: str | None = None
    modified: str | None = None
    takes_ranges: bool = True
    says_length: bool = True
    heeds_if_range: bool = True
    chunked: bool = False
    redirect: str | None = None
    content_range: str | None = None
    login: str | None = None
    faults: list[Fault] = field(default_factory=list)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that hang up: they are what is tested."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class FaultyServer:
    """Pages by path at `url`; `log` has a line for each request."""

    def __init__(self) -> None:
        self.pages: dict[str, Page] = {}
        self.log: list[Served] = []
        self.closing = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler_for(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def page(self, path: str, content: bytes = b"", **about: object) -> str:
        """Serve `content` at `path` and return its URL."""
        self.pages[path] = Page(content, **about)  # type: ignore[arg-type]
        return self.url + path

    def sent_bytes(self, path: str) -> list[int]:
        """Return the size of each body sent from `path`, in the order of the requests."""
        return [served.sent_bytes for served in self.log if served.path == path]

    @contextmanager
    def running(self) -> Iterator[FaultyServer]:
        self._thread.start()
        try:
            yield self
        finally:
            self.closing.set()
            self._server.shutdown()
            self._server.server_close()


def _handler_for(server: FaultyServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(_Handler):
        owner = server

    return Handler


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultyServer

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        pass

    def do_CONNECT(self) -> None:
        self._note(403)
        self.send_error(403)

    def do_HEAD(self) -> None:
        self._note(200)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.close_connection = True
        page = self.owner.pages.get(self.path)
        served = self._note(404)
        if page is None:
            self.send_error(404)
            return
        fault = page.faults.pop(0) if page.faults else None
        try:
            if fault is not None and self._broke_before_body(fault):
                return
            self._answer(page, fault, served)
        except (BrokenPipeError, ConnectionResetError):
            return

    def _note(self, status: int) -> Served:
        served = Served(self.command, self.path, dict(self.headers.items()), status)
        self.owner.log.append(served)
        return served

    def _broke_before_body(self, fault: Fault) -> bool:
        if fault.what.startswith("status "):
            self.send_error(int(fault.what.removeprefix("status ")))
        elif fault.what == "garbage":
            self.wfile.write(b"\x1b[31m\xff this is not HTTP\r\n\r\n")
        elif fault.what == "silence":
            self.owner.closing.wait(30)
        elif fault.what == "cut-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nServer: none\r\n")
        elif fault.what == "drip-headers":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            while not self.owner.closing.wait(0.05):
                self.wfile.write(b"X-More: 1\r\n")
        else:
            return False
        return True

    def _answer(self, page: Page, fault: Fault | None, served: Served) -> None:
        if page.login is not None and self.headers.get("Authorization") != page.login:
            served.status = 401
            self.send_error(401)
            return
        if page.redirect is not None:
            served.status = 302
            self.send_response(302)
            self.send_header("Location", page.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self._start_of_range(page)
        if start > len(page.content):
            served.status = 416
            self.send_error(416)
            return
        served.status = 206 if start >= 0 else 200
        self._send_head(page, start)
        self._send_body(page, page.content[max(start, 0) :], fault, served)

    def _start_of_range(self, page: Page) -> int:
        """Return where the answer starts, -1 when it is the whole file."""
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        condition = self.headers.get("If-Range")
        stale = condition is not None and condition not in (page.etag, page.modified)
        if asked is None or not page.takes_ranges or (stale and page.heeds_if_range):
            return -1
        return int(asked[1])

    def _send_head(self, page: Page, start: int) -> None:
        self.send_response(206 if start >= 0 else 200)
        total = len(page.content)
        if start >= 0:
            span = page.content_range or f"bytes {start}-{total - 1}/{total}"
            self.send_header("Content-Range", span)
        if page.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif page.says_length:
            self.send_header("Content-Length", str(total - max(start, 0)))
        for name, value in (("ETag", page.etag), ("Last-Modified", page.modified)):
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _send_body(self, page: Page, body: bytes, fault: Fault | None, served: Served) -> None:
        breaks = fault is not None and fault.what in ("reset", "stall", "hang-up")
        sendable = body[: fault.after] if fault is not None and breaks else body
        for i in range(0, len(sendable), PIECE_BYTES):
            piece = sendable[i : i + PIECE_BYTES]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece) if page.chunked else piece)
            served.sent_bytes += len(piece)
            if fault is not None and fault.what == "drip":
                time.sleep(fault.pause_s)
        if fault is not None and breaks:
            self._break(fault)
        elif page.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _break(self, fault: Fault) -> None:
        self.wfile.flush()
        if fault.what == "stall":
            self.owner.closing.wait(30)
        elif fault.what == "reset":
            time.sleep(0.05)  # a reset throws away what the client has not read yet
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
