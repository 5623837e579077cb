"""The review page: an HTTP server for one person on this machine.

It listens on the loopback address alone. Other pages in the same browser cannot reach it: they don't know the token
in the address, requests under another host name are refused (DNS rebinding), and decisions must come from the page
itself. The page loads nothing from elsewhere and is told so (Content-Security-Policy).
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, get_args

from harness.curation.dataset import Busy, is_cut_off
from harness.curation.decisions import Action
from harness.curation.pictures import png, thumbnail
from harness.curation.reading import page_image
from harness.curation.session import Session, Stale, reviewing
from harness.curation.types import Decided
from harness.curation.verdicts import NotPossible
from harness.errors import DataError, HarnessError, UsageError

__all__ = ["Server", "serve"]

HOST = "127.0.0.1"
TEMPLATES = Path(__file__).parent.parent / "templates"
ASSETS = {
    "": ("review.html", "text/html"),
    "review.css": ("review.css", "text/css"),
    "review.js": ("review.js", "text/javascript"),
}
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
MOST_BYTES = 1 << 16
"""Of a decision: a split into 64 boxes has some thousand."""

PATIENCE_SECONDS = 30.0


def serve(folder: Path, port: int, say: Callable[[str], Any], *, open_page: bool = False) -> None:
    """Serve the review of a collection until Ctrl-C; `say` is told the address."""
    from harness.executors import stoppable

    with reviewing(folder) as session:
        server = _listening(port, session)
        try:
            say(f"review: {server.address}")
            if is_cut_off(folder):
                say(
                    "the last write of the dataset was cut off: write it again, by the key w or the command below"
                )
            say(f"Ctrl-C ends it; every decision is kept at once. Then: harness figures write {folder}")
            if open_page:
                import webbrowser

                webbrowser.open(server.address)
            with stoppable():
                server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            counts = session.state()["counts"]
            say(f"{counts['decided']} of {counts['to_decide']} decided")
        finally:
            server.server_close()


def _listening(port: int, session: Session) -> Server:
    try:
        return Server(port, session)
    except OSError as error:
        raise UsageError(f"--port {port}: {error.strerror}; name another, or 0 for a free one") from error


class Server(ThreadingHTTPServer):
    """The server of one review; `address` is what the browser is to open."""

    daemon_threads = True

    def __init__(self, port: int, session: Session) -> None:
        super().__init__((HOST, port), _Handler)
        self.session = session
        self.token = secrets.token_urlsafe(24)
        self.hosts = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went on to the next picture before this one was sent."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        return f"http://{HOST}:{self.server_port}/{self.token}/"


class _Refused(Exception):
    """A request that is answered by a status and a sentence."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "harness"
    sys_version = ""
    timeout = PATIENCE_SECONDS

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def log_message(self, *_: object) -> None:
        """Say nothing: the address holds the token."""

    def _answered(self, act: Callable[[list[str]], tuple[bytes, str]]) -> None:
        try:
            data, kind = act(self._place())
            status = HTTPStatus.OK
        except _Refused as refusal:
            status = refusal.status
            data, kind = _json({"error": str(refusal)})
        except HarnessError as error:
            status = HTTPStatus.INTERNAL_SERVER_ERROR
            data, kind = _json({"error": str(error)})
        if status != HTTPStatus.OK:
            self.close_connection = True  # what the request still holds is not read
        self._send(status, data, kind)

    def _send(self, status: HTTPStatus, data: bytes, kind: str) -> None:
        self.send_response(status)
        forever = kind.startswith("image/") and status == HTTPStatus.OK
        self.send_header("Cache-Control", "private, max-age=3600" if forever else "no-store")
        self.send_header("Content-Type", kind if forever else f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        if self.close_connection:
            self.send_header("Connection", "close")
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def _place(self) -> list[str]:
        """The parts of the path behind the token. Raises `_Refused` for strangers."""
        if self.headers.get("Host", "") not in self.server.hosts:
            raise _Refused(HTTPStatus.FORBIDDEN, "this page is only for this machine")
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            raise _Refused(HTTPStatus.FORBIDDEN, "decisions come from the review page alone")
        token, *place = self.path.partition("?")[0].removeprefix("/").split("/")
        if not place or not secrets.compare_digest(token.encode(), self.server.token.encode()):
            raise _Refused(HTTPStatus.NOT_FOUND, "open the address that 'harness figures review' printed")
        return place

    def _get(self, place: list[str]) -> tuple[bytes, str]:
        if len(place) == 1 and place[0] in ASSETS:
            name, kind = ASSETS[place[0]]
            return (TEMPLATES / name).read_bytes(), kind
        session = self.server.session
        match place:
            case ["state"]:
                return _json(session.state())
            case ["version"]:
                return _json({"version": session.version})
            case ["item", name] if found := session.detail(name):
                return _json(found)
            case ["cuts", name]:
                return _json({"boxes": session.cuts(name)})
            case ["picture", name] if decided := session.find(name):
                return png(decided.candidate), "image/png"
            case ["thumbnail", name] if decided := session.find(name):
                return thumbnail(decided.candidate), "image/jpeg"
            case ["page", name] if decided := session.find(name):
                return _page(decided), "image/jpeg"
        raise _Refused(HTTPStatus.NOT_FOUND, "there is no such thing (any more)")

    def _post(self, place: list[str]) -> tuple[bytes, str]:
        if place not in (["decide"], ["write"]):
            raise _Refused(HTTPStatus.NOT_FOUND, "there is no such thing")
        if self.headers.get_content_type() != "application/json":
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a decision is JSON")
        return self._written() if place == ["write"] else self._decided()

    def _written(self) -> tuple[bytes, str]:
        self._body()
        try:
            return _json({"said": "Written: " + "; ".join(self.server.session.write())})
        except Busy as error:
            raise _Refused(HTTPStatus.LOCKED, str(error)) from error
        except DataError as error:
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error

    def _decided(self) -> tuple[bytes, str]:
        version, action, target, value = _decision(self._body())
        try:
            return _json(self.server.session.decide(version, action, target, value))
        except Stale as error:
            raise _Refused(HTTPStatus.CONFLICT, str(error)) from error
        except NotPossible as error:
            raise _Refused(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > MOST_BYTES:
            raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a decision has at most {MOST_BYTES} bytes")
        return self.rfile.read(int(length))


def _json(value: Any) -> tuple[bytes, str]:
    return json.dumps(value, ensure_ascii=True, allow_nan=False).encode(), "application/json"


def _decision(body: bytes) -> tuple[int, Action, str, Any]:
    try:
        table = json.loads(body)
        version, action, target = table["version"], table["action"], table.get("target", "")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise _Refused(HTTPStatus.BAD_REQUEST, "expected version, action and target in JSON") from error
    if type(version) is not int or action not in get_args(Action) or not isinstance(target, str):
        raise _Refused(HTTPStatus.BAD_REQUEST, f"expected one of {list(get_args(Action))} and a version")
    return version, action, target, table.get("value")


def _page(decided: Decided) -> bytes:
    path = decided.candidate.paper.folder / page_image(decided.candidate.page)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"the page in context is missing: {error.strerror}") from error
