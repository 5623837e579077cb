"""Downloads against a real server on the loopback that misbehaves as asked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faulty_server import Fault, FaultyServer

from harness import download as module
from harness.download import Refused, download, host_reachable, mirrored, sole_use
from harness.errors import FetchError, NoNetwork, UsageError

CONTENT = bytes(range(256)) * 1200
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = '"version-1"'


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer().running() as running:
        yield running


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxies of this machine, and no waiting between attempts."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HARNESS_MIRROR"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(module, "BACKOFF_SECONDS", (0.01, 0.01, 0.01))


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "file.zip"


def leftovers(target: Path) -> list[str]:
    """Names beside the target, but for the lock."""
    return sorted(p.name for p in target.parent.iterdir() if p.suffix != ".lock")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


# What arrives


def test_a_file_arrives_whole_and_nothing_else_is_left(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT)
    assert download(url, target, sha256=SHA256, size=len(CONTENT)) == target
    assert target.read_bytes() == CONTENT
    assert leftovers(target) == ["file.zip"]


def test_a_file_that_is_there_and_right_costs_no_request(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT)
    download(url, target, sha256=SHA256)
    download(url, target, sha256=SHA256.upper(), size=len(CONTENT))
    download(url, target)
    assert len(server.log) == 1


def test_a_file_that_is_there_and_wrong_is_replaced(server: FaultyServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"old")
    download(server.page("/file.zip", CONTENT), target, sha256=SHA256)
    assert target.read_bytes() == CONTENT


def test_a_wrong_file_stays_while_no_right_one_can_be_had(server: FaultyServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"old")
    with pytest.raises(Refused):
        download(server.url + "/none", target, sha256=SHA256)
    assert target.read_bytes() == b"old"


def test_a_chunked_answer_without_length_arrives_whole(server: FaultyServer, target: Path) -> None:
    assert download(server.page("/file.zip", CONTENT, chunked=True), target).read_bytes() == CONTENT


def test_an_answer_that_ends_by_hanging_up_arrives_whole(server: FaultyServer, target: Path) -> None:
    assert download(server.page("/file.zip", CONTENT, says_length=False), target).read_bytes() == CONTENT


def test_an_empty_file_arrives(server: FaultyServer, target: Path) -> None:
    assert download(server.page("/file.zip", b""), target).read_bytes() == b""


def test_spaces_and_umlauts_of_a_path_are_quoted(server: FaultyServer, target: Path) -> None:
    server.page("/a%20%C3%BC.zip", b"quoted")
    assert download(server.url + "/a ü.zip", target).read_bytes() == b"quoted"


def test_progress_tells_fraction_megabytes_and_speed(server: FaultyServer, target: Path) -> None:
    told: list[tuple[str, float | None]] = []
    download(server.page("/file.zip", CONTENT), target, progress=lambda text, part: told.append((text, part)))
    fractions = [part for _, part in told if part is not None]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert told[-1][0].startswith("downloading file.zip: 0.3 of 0.3 MB, ")
    assert told[-1][0].endswith(" MB/s")


def test_what_progress_counts_is_on_the_disk(server: FaultyServer, target: Path) -> None:
    sizes: list[int] = []
    part = target.with_name("file.zip.part")
    url = server.page("/file.zip", b"x" * 100)
    download(url, target, progress=lambda *_: sizes.append(part.stat().st_size))
    assert sizes[-1] == 100


# What breaks off


@pytest.mark.parametrize("what", ["reset", "hang-up", "stall"])
def test_a_broken_download_goes_on_where_it_broke(server: FaultyServer, target: Path, what: str) -> None:
    url = server.page("/file.zip", CONTENT, etag=ETAG, faults=[Fault(what, after=100_000)])
    download(url, target, sha256=SHA256, timeout_s=0.4)
    assert target.read_bytes() == CONTENT
    assert server.log[1].headers["Range"] == "bytes=100000-"
    assert server.log[1].headers["If-Range"] == ETAG
    assert server.sent_bytes("/file.zip") == [100_000, len(CONTENT) - 100_000]


def test_a_date_serves_where_there_is_no_etag(server: FaultyServer, target: Path) -> None:
    date = "Wed, 21 Oct 2020 07:28:00 GMT"
    url = server.page("/file.zip", CONTENT, modified=date, faults=[Fault("hang-up", after=50_000)])
    download(url, target)
    assert server.log[1].headers["If-Range"] == date
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("etag", [None, 'W/"weak"', "unquoted", '"a"\t"b"'])
def test_without_a_name_for_the_version_it_starts_again(
    server: FaultyServer, target: Path, etag: str | None
) -> None:
    url = server.page("/file.zip", CONTENT, etag=etag, faults=[Fault("hang-up", after=50_000)])
    download(url, target)
    assert "Range" not in server.log[1].headers
    assert target.read_bytes() == CONTENT


def test_without_a_name_for_the_version_a_digest_is_enough(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT, faults=[Fault("hang-up", after=50_000)])
    download(url, target, sha256=SHA256)
    assert server.log[1].headers["Range"] == "bytes=50000-"
    assert target.read_bytes() == CONTENT


def test_a_server_that_ignores_range_sends_it_again_whole(server: FaultyServer, target: Path) -> None:
    url = server.page(
        "/file.zip", CONTENT, etag=ETAG, takes_ranges=False, faults=[Fault("hang-up", after=9000)]
    )
    download(url, target)
    assert target.read_bytes() == CONTENT
    assert server.sent_bytes("/file.zip") == [9000, len(CONTENT)]


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_parts_of_two_versions_are_never_joined(
    server: FaultyServer, target: Path, heeds_if_range: bool
) -> None:
    url = server.page("/file.zip", CONTENT, etag=ETAG, faults=[Fault("hang-up", after=50_000)] * 4)
    with pytest.raises(FetchError):
        download(url, target)
    server.page("/file.zip", CONTENT[::-1], etag='"version-2"', heeds_if_range=heeds_if_range)
    download(url, target)
    assert target.read_bytes() == CONTENT[::-1]


@pytest.mark.parametrize(
    "content_range",
    ["bytes 0-9/307200", "bytes 50000-307199/999999", "bytes 50000-1/" + "9" * 5000, "nonsense", ""],
)
def test_an_answer_that_does_not_fit_the_part_is_not_joined(
    server: FaultyServer, target: Path, content_range: str
) -> None:
    url = server.page(
        "/file.zip",
        CONTENT,
        etag=ETAG,
        content_range=content_range or " ",
        faults=[Fault("hang-up", after=50_000)],
    )
    download(url, target)
    assert target.read_bytes() == CONTENT
    assert [served.status for served in server.log] == [200, 206, 200]


@pytest.mark.parametrize("total", [len(CONTENT), None])
def test_a_part_longer_than_the_file_is_thrown_away(
    server: FaultyServer, target: Path, total: int | None
) -> None:
    url = server.page("/file.zip", CONTENT, etag=ETAG, faults=[Fault("hang-up", after=50_000)] * 4)
    with pytest.raises(FetchError):
        download(url, target)
    note = target.with_name("file.zip.part.json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"total": total}))
    with target.with_name("file.zip.part").open("ab") as part:
        part.write(bytes(len(CONTENT)))
    assert download(url, target).read_bytes() == CONTENT
    assert [served.status for served in server.log[4:]] == ([200] if total else [416, 200])


def test_a_part_that_was_complete_when_killed_is_not_fetched_again(
    server: FaultyServer, target: Path
) -> None:
    url = server.page("/file.zip", CONTENT, etag=ETAG, faults=[Fault("hang-up", after=50_000)] * 4)
    with pytest.raises(FetchError):
        download(url, target)
    target.with_name("file.zip.part").write_bytes(CONTENT)
    requests = len(server.log)
    assert download(url, target).read_bytes() == CONTENT
    assert len(server.log) == requests


@pytest.mark.parametrize("note", ["", "{", "[]", '{"url": 1}', '"text"', "null", "\xff", "NOTE"])
def test_a_part_whose_origin_cannot_be_read_is_started_again(
    server: FaultyServer, target: Path, note: str
) -> None:
    target.parent.mkdir()
    target.with_name("file.zip.part").write_bytes(b"something else")
    url = server.page("/file.zip", CONTENT)
    wrong_types = json.dumps({"url": url, "etag": 1, "modified": [], "total": "many"})
    note = note.replace("NOTE", wrong_types)
    target.with_name("file.zip.part.json").write_bytes(note.encode("latin-1"))
    assert download(url, target).read_bytes() == CONTENT


def test_a_part_of_another_url_is_started_again(server: FaultyServer, target: Path) -> None:
    broken = server.page("/other.zip", CONTENT[::-1], etag=ETAG, faults=[Fault("hang-up", after=999)] * 4)
    with pytest.raises(FetchError):
        download(broken, target)
    assert download(server.page("/file.zip", CONTENT, etag=ETAG), target).read_bytes() == CONTENT


def test_what_was_received_is_kept_when_all_attempts_break(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT, etag=ETAG, faults=[Fault("reset", after=40_000)] * 4)
    with pytest.raises(FetchError, match="4 times; 160000 bytes are kept") as error:
        download(url, target)
    one_line(error)
    assert leftovers(target) == ["file.zip.part", "file.zip.part.json"]
    assert json.loads(target.with_name("file.zip.part.json").read_text())["etag"] == ETAG
    download(url, target)
    assert server.sent_bytes("/file.zip")[-1] == len(CONTENT) - 160_000


def test_a_stall_is_given_up_after_four_attempts(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT, faults=[Fault("stall", after=10)] * 4)
    with pytest.raises(FetchError, match=r"stalled: no byte for 0.2 s, 4 times"):
        download(url, target, timeout_s=0.2)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("silence", r"stalled: no answer for 0\.3 s"),
        ("drip-headers", r"stalled: no answer for 0\.3 s"),
        ("garbage", r"the connection broke \(\?\[31mÿ this is not HTTP\)"),
        ("cut-headers", "the connection ended after 0 of unknown bytes"),
    ],
)
def test_an_answer_that_never_comes_right_is_given_up(
    server: FaultyServer, target: Path, what: str, said: str
) -> None:
    url = server.page("/file.zip", CONTENT, faults=[Fault(what)] * 4)
    started = time.monotonic()
    with pytest.raises(FetchError, match=f"{said}, 4 times") as error:
        download(url, target, timeout_s=0.3)
    one_line(error)
    assert time.monotonic() - started < 5
    assert not target.exists()


def test_a_chunked_answer_that_breaks_off_is_noticed(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT, chunked=True, faults=[Fault("hang-up", after=70_000)] * 4)
    with pytest.raises(FetchError, match="the connection broke"):
        download(url, target)
    assert download(url, target).read_bytes() == CONTENT


def test_a_known_size_tells_a_truncated_answer_without_length(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT, says_length=False, faults=[Fault("hang-up", after=70_000)])
    assert download(url, target, size=len(CONTENT)).read_bytes() == CONTENT


def test_a_server_that_fails_twice_is_asked_a_third_time(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT, faults=[Fault("status 503"), Fault("status 500")])
    assert download(url, target).read_bytes() == CONTENT


def test_a_server_that_keeps_failing_is_reported(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT, faults=[Fault("status 502")] * 4)
    with pytest.raises(FetchError, match=r"HTTP 502 Bad Gateway\), 4 times"):
        download(url, target)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 407, 410, 429])
def test_a_refusal_is_not_asked_twice(server: FaultyServer, target: Path, status: int) -> None:
    url = server.page("/file.zip", CONTENT, faults=[Fault(f"status {status}")] * 4)
    with pytest.raises(Refused, match=f"HTTP {status}") as error:
        download(url, target)
    one_line(error)
    assert error.value.status == status
    assert len(server.log) == 1
    assert leftovers(target) == []


# Wrong bytes


def test_wrong_bytes_are_reported_and_not_kept(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT[:-1] + b"?", etag=ETAG)
    with pytest.raises(FetchError, match=f"got SHA-256 [0-9a-f]{{64}}, expected {SHA256}") as error:
        download(url, target, sha256=SHA256)
    one_line(error)
    assert leftovers(target) == []


def test_a_wrong_size_is_known_before_a_byte_is_fetched(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT)
    with pytest.raises(FetchError, match="the server has 307200 bytes, expected 5"):
        download(url, target, size=5)
    assert leftovers(target) == []


def test_a_server_that_sends_more_than_the_size_is_stopped(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT * 40, says_length=False)
    with pytest.raises(FetchError, match="sends more than the expected 1000 bytes"):
        download(url, target, size=1000)
    assert leftovers(target) == []


# Redirects and schemes


def test_a_redirect_is_followed_with_its_range(server: FaultyServer, target: Path) -> None:
    server.page("/store/1", CONTENT, etag=ETAG, faults=[Fault("hang-up", after=50_000)])
    download(server.page("/file.zip", redirect="/store/1"), target)
    assert target.read_bytes() == CONTENT
    assert server.sent_bytes("/store/1") == [50_000, len(CONTENT) - 50_000]


def test_a_loop_of_redirects_is_given_up(server: FaultyServer, target: Path) -> None:
    url = server.page("/a", redirect="/b")
    server.page("/b", redirect="/a")
    with pytest.raises(FetchError, match="more than 5 redirects") as error:
        download(url, target)
    one_line(error)
    assert len(server.log) == 6


@pytest.mark.parametrize(
    "where",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://x/", "data:,x", "//user:pw@h/x", "http://[/"],
)
def test_a_redirect_to_anything_but_http_is_refused(server: FaultyServer, target: Path, where: str) -> None:
    with pytest.raises(FetchError, match="redirect refused") as error:
        download(server.page("/file.zip", redirect=where), target)
    assert "pw" not in one_line(error)
    assert leftovers(target) == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/x",
        "/etc/passwd",
        "",
        "http://",
        "http:///x",
        "http://a b/x",
        "http://h:99999/x",
        "http://h:port/x",
        "http://[::1/x",
        "javascript:1",
        "http://user:secret@example.org/x",
        "http://bücher.example/x",
    ],
)
def test_what_is_no_plain_http_url_is_refused(target: Path, url: str) -> None:
    with pytest.raises(FetchError) as error:
        download(url, target)
    assert not isinstance(error.value, NoNetwork)
    assert "secret" not in one_line(error)


def test_a_secret_in_a_query_is_not_shown(server: FaultyServer, target: Path) -> None:
    with pytest.raises(Refused) as error:
        download(server.url + "/none?token=secret", target)
    assert "secret" not in str(error.value)


def test_a_login_goes_to_its_own_host_and_to_no_other(server: FaultyServer, target: Path) -> None:
    server.page("/same", redirect=f"http://localhost:{server.port}/elsewhere")
    server.page("/elsewhere", CONTENT)
    url = server.page("/file.zip", redirect="/same")
    download(url, target, authorization="Basic abc")
    assert [served.headers.get("Authorization") for served in server.log] == ["Basic abc", "Basic abc", None]


# No network


def test_a_closed_port_is_no_network_at_once(target: Path) -> None:
    started = time.monotonic()
    with pytest.raises(NoNetwork, match=r"cannot reach '127.0.0.1:\d+': Connection refused") as error:
        download(f"http://127.0.0.1:{closed_port()}/x", target)
    assert time.monotonic() - started < 10
    assert "by hand" in one_line(error)


def test_an_unknown_host_is_no_network_within_ten_seconds(target: Path) -> None:
    started = time.monotonic()
    with pytest.raises(NoNetwork, match=r"cannot reach 'no-such-host\.invalid'") as error:
        download("https://no-such-host.invalid/x", target)
    assert time.monotonic() - started < 10
    one_line(error)
    assert leftovers(target) == []


@pytest.mark.parametrize("host", ["a..b", "x" * 64 + ".org", "-", "0.0.0.0.0"])
def test_a_name_that_cannot_be_a_host_is_no_network(target: Path, host: str) -> None:
    with pytest.raises(NoNetwork):
        download(f"http://{host}/x", target)


def test_a_resolver_that_never_answers_is_not_waited_for(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(30))
    monkeypatch.setattr(module, "REACH_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(NoNetwork, match=r"no answer to its name within 0.3 s"):
        download("http://example.org/x", target)
    over.set()
    assert time.monotonic() - started < 2


def test_the_time_to_find_out_is_below_ten_seconds() -> None:
    assert module.REACH_SECONDS < 9


@pytest.fixture
def swallowing() -> Iterator[tuple[str, int]]:
    """An address whose queue is full: it answers no packet."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        yield full.getsockname()
        for sock in waiting:
            sock.close()


def test_an_address_that_swallows_packets_is_not_waited_for(
    swallowing: tuple[str, int], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REACH_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(NoNetwork, match="timed out"):
        download(f"http://127.0.0.1:{swallowing[1]}/x", target)
    assert 0.3 < time.monotonic() - started < 2


@pytest.mark.parametrize("fault", ["closed", "swallowing"])
def test_a_dead_first_address_leaves_time_for_the_second(
    server: FaultyServer,
    swallowing: tuple[str, int],
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
) -> None:
    monkeypatch.setattr(module, "REACH_SECONDS", 0.8)
    places = [("127.0.0.1", closed_port()) if fault == "closed" else swallowing, ("127.0.0.1", server.port)]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", place) for place in places]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    server.page("/x", CONTENT)
    assert download("http://example.org/x", target).read_bytes() == CONTENT


def test_a_port_that_speaks_no_tls_is_no_network_in_time(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REACH_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(NoNetwork):
            download(f"https://127.0.0.1:{silent.getsockname()[1]}/x", target)
        assert time.monotonic() - started < 2


def test_a_proxy_that_is_not_there_is_named(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"127.0.0.1:{closed_port()}"
    monkeypatch.setenv("http_proxy", f"http://user:secret@{proxy}")
    with pytest.raises(NoNetwork, match=f"'example.org' through the proxy '{proxy}'") as error:
        download("http://example.org/x", target)
    assert "secret" not in one_line(error)


def test_a_proxy_that_says_nothing_is_no_network_in_time(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REACH_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(NoNetwork, match="through the proxy"):
            download("https://example.org/x", target)
        assert time.monotonic() - started < 2


def test_a_proxy_that_refuses_is_no_network(
    server: FaultyServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", server.url)
    with pytest.raises(NoNetwork, match=r"through the proxy .*403"):
        download("https://example.org/x", target)


def test_a_proxy_that_wants_a_login_is_no_network(
    server: FaultyServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.page("http://example.org/x", faults=[Fault("status 407")])
    with pytest.raises(NoNetwork, match="wants a login to reach 'example"):
        download("http://example.org/x", target)


def test_a_proxy_is_used(server: FaultyServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url)
    server.page("http://example.org/x", CONTENT)
    assert download("http://example.org/x", target).read_bytes() == CONTENT


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http:/broken"])
def test_an_unusable_proxy_is_one_line(target: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(FetchError, match="proxy") as error:
        download("http://example.org/x", target)
    one_line(error)


def test_a_host_is_reachable_whatever_it_answers(server: FaultyServer) -> None:
    assert host_reachable(server.url + "/none")


def test_a_host_that_is_not_there_is_not_reachable() -> None:
    assert not host_reachable(f"http://127.0.0.1:{closed_port()}")
    assert not host_reachable("http://no-such-host.invalid")
    assert not host_reachable("file:///etc/passwd")


def test_a_host_that_says_nothing_is_not_reachable_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        assert not host_reachable(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.4)
        assert time.monotonic() - started < 1


# Encryption


@pytest.fixture
def secure(server: FaultyServer, tmp_path: Path) -> Path:
    """Put the server behind TLS with a certificate that nobody vouches for, and return that certificate."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("makes its certificate with openssl, which is not installed")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-days", "2"]
    out = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, "req", "-x509", "-nodes", *made, *names, *out], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = server._server
    listener.socket = context.wrap_socket(listener.socket, server_side=True, do_handshake_on_connect=False)
    return certificate


def test_a_certificate_that_nobody_vouches_for_is_refused(
    server: FaultyServer, secure: Path, target: Path
) -> None:
    server.page("/x", CONTENT)
    with pytest.raises(FetchError, match="its certificate is not trusted") as error:
        download(f"https://127.0.0.1:{server.port}/x", target)
    assert not isinstance(error.value, NoNetwork)
    assert server.log == []


def test_a_certificate_for_another_host_is_refused(
    server: FaultyServer, secure: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure))
    with pytest.raises(FetchError, match="its certificate is not trusted"):
        download(f"https://localhost:{server.port}/x", target)


def test_a_redirect_never_leaves_encryption(
    server: FaultyServer, secure: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(secure))
    server.page("/good", CONTENT)
    assert download(f"https://127.0.0.1:{server.port}/good", target).read_bytes() == CONTENT
    server.page("/bad", redirect=f"http://127.0.0.1:{server.port}/good")
    with pytest.raises(FetchError, match="is not encrypted"):
        download(f"https://127.0.0.1:{server.port}/bad", target.with_name("other"))


# Disks


def test_a_full_disk_is_one_line_and_keeps_nothing(server: FaultyServer, target: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    target.parent.mkdir()
    target.with_name("file.zip.part").symlink_to("/dev/full")
    with pytest.raises(FetchError, match="No space left on device; free some space") as error:
        download(server.page("/file.zip", CONTENT), target)
    one_line(error)
    assert leftovers(target) == []


def test_a_file_that_cannot_fit_is_known_before_a_byte_is_written(
    server: FaultyServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 5, 5))
    with pytest.raises(FetchError, match=r"307200 bytes are missing and .* has room for 5"):
        download(server.page("/file.zip", CONTENT), target)
    assert leftovers(target) == []


def test_a_folder_that_cannot_be_made_is_one_line(server: FaultyServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FetchError, match="cannot write") as error:
        download(server.page("/x", CONTENT), tmp_path / "file" / "below" / "x")
    one_line(error)


def test_a_read_only_folder_is_one_line(server: FaultyServer, target: Path) -> None:
    target.parent.mkdir()
    target.parent.chmod(0o500)
    if os.access(target.parent, os.W_OK):
        pytest.skip("this user may write anywhere")
    with pytest.raises(FetchError, match="cannot write") as error:
        download(server.page("/x", CONTENT), target)
    one_line(error)


# Several at once


def test_two_processes_fetch_a_file_once(server: FaultyServer, target: Path) -> None:
    url = server.page("/file.zip", CONTENT, faults=[Fault("drip", pause_s=0.02)])
    code = (
        "import sys; from pathlib import Path; from harness.download import download;"
        "download(sys.argv[1], Path(sys.argv[2]), sha256=sys.argv[3])"
    )
    command = [sys.executable, "-c", code, url, str(target), SHA256]
    both = [subprocess.Popen(command, cwd=Path(module.__file__).parents[1]) for _ in range(2)]
    assert [process.wait(30) for process in both] == [0, 0]
    assert target.read_bytes() == CONTENT
    assert server.sent_bytes("/file.zip") == [len(CONTENT)]


def test_who_waits_for_another_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    holds, done = threading.Event(), threading.Event()

    def hold() -> None:
        with sole_use(tmp_path / "thing"):
            holds.set()
            done.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    holds.wait(10)

    def progress(text: str, fraction: float | None) -> None:
        told.append(text)
        done.set()

    with sole_use(tmp_path / "thing", progress):
        assert told == ["waiting for another process that fetches thing"]
    holder.join()


# Mirrors


def test_a_mirror_replaces_scheme_and_host_only(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://example.org/a/b.zip?v=1"
    assert mirrored(url) == url
    assert mirrored(url, "http://intranet:8000/files/") == "http://intranet:8000/files/a/b.zip?v=1"
    monkeypatch.setenv("HARNESS_MIRROR", "http://mirror")
    assert mirrored(url) == "http://mirror/a/b.zip?v=1"
    assert mirrored(url, "http://first") == "http://first/a/b.zip?v=1"


@pytest.mark.parametrize("mirror", ["mirror", "file:///srv", "http://", "http://user:secret@host"])
def test_a_mirror_that_is_no_url_is_a_usage_error(mirror: str) -> None:
    with pytest.raises(UsageError, match="HARNESS_MIRROR") as error:
        mirrored("https://example.org/x", mirror)
    assert "secret" not in one_line(error)
