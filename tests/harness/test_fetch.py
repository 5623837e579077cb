"""Datasets fetched from a loopback server into a data root, whatever happens on the way."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from faulty_server import Fault, FaultyServer
from PIL import Image

from harness import download, fetch, folders
from harness.data.dataset import open_dataset
from harness.errors import CardError, FetchError, NoNetwork, UnknownName, UsageError
from harness.fetch import fetch_dataset

CARD = """
schema_version = 1
name = "tiny"
title = "Tiny"
description = "Noise."
adapter = "image-list"
list = "files.csv"
classes = ["no", "yes"]
positive = "yes"
licence = "none"
citation = "none"
{more}
[fetch]
kind = "{kind}"
urls = {urls}
strip = {strip}
archives = {archives}
manual = "Ask the authors,\\nand wait."
"""

URL = "https://example.org/tiny.zip"
DATA = os.environ.get("HARNESS_DATA")


def png(seed: int, size_px: int = 24) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size_px, size_px), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


IMAGES = {
    f"{label}/{i} (1)%0.png": png(10 * (label == "yes") + i) for label in ("no", "yes") for i in range(2)
}


def zipped(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return out.getvalue()


def write_card(
    folder: Path,
    images: dict[str, bytes] = IMAGES,
    *,
    kind: str = "url",
    urls: tuple[str, ...] = (URL,),
    strip: int = 0,
    archives: tuple[str, ...] = (),
    more: str = "",
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lists = {"urls": json.dumps(urls), "archives": json.dumps(archives)}
    (folder / "card.toml").write_text(CARD.format(kind=kind, strip=strip, more=more, **lists))
    rows = [f"{name},{name.split('/')[0]},{hashlib.sha256(images[name]).hexdigest()}" for name in images]
    (folder / "files.csv").write_text("\n".join(["file,label,sha256", *rows, ""]))
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def images_in(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in tree(folder).items() if name.endswith(".png")}


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with FaultyServer().running() as running:
        yield running


@pytest.fixture
def root(tmp_path: Path, server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data root, the only one, on a machine whose every address leads to the server."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HARNESS_DATA", "KAGGLE_USERNAME", "KAGGLE_KEY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KAGGLE_CONFIG_DIR", str(tmp_path / "kaggle"))
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HARNESS_MIRROR", server.url)
    monkeypatch.setattr(download, "BACKOFF_SECONDS", (0.01, 0.01, 0.01))
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def bundled(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the card 'tiny' among the bundled ones."""
    monkeypatch.setattr(folders, "PACKAGE", tmp_path / "package")
    return write_card(tmp_path / "package" / "bundled" / "datasets" / "tiny")


# Where the files go


def test_a_dataset_is_fetched_beside_its_card(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny")
    server.page("/tiny.zip", zipped(IMAGES))
    assert fetch_dataset("tiny", data_root=root) == root / "tiny"
    assert images_in(root / "tiny") == IMAGES
    assert len(open_dataset("tiny", data_root=root)) == 4


def test_a_bundled_dataset_is_fetched_to_the_cache(server: FaultyServer, root: Path, bundled: Path) -> None:
    server.page("/tiny.zip", zipped(IMAGES))
    place = folders.cache_folder() / "data" / "tiny"
    assert fetch_dataset("tiny") == place
    assert tree(place) == IMAGES


def test_a_bundled_dataset_is_fetched_to_the_data_root(
    server: FaultyServer, root: Path, bundled: Path
) -> None:
    server.page("/tiny.zip", zipped(IMAGES))
    assert fetch_dataset("tiny", data_root=root) == root / "tiny"
    assert tree(root) == {f"tiny/{name}": content for name, content in IMAGES.items()}


def test_files_go_to_the_root_that_the_card_names(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny", more='root = "../elsewhere/images"')
    server.page("/tiny.zip", zipped(IMAGES))
    fetch_dataset("tiny", data_root=root)
    assert tree(root / "elsewhere" / "images") == IMAGES


def test_archives_inside_the_archive_are_unpacked(server: FaultyServer, root: Path) -> None:
    inner = {c: zipped({n: b for n, b in IMAGES.items() if n.startswith(f"{c}/")}) for c in ("no", "yes")}
    outer = {f"repo-main/zips/{c}.zip": content for c, content in inner.items()} | {"repo-main/README": b"r"}
    write_card(root / "tiny", kind="github-archive", strip=1, archives=("zips/no.zip", "zips/yes.zip"))
    server.page("/tiny.zip", zipped(outer))
    fetch_dataset("tiny", data_root=root)
    assert set(tree(root / "tiny")) == {*IMAGES, "README", "card.toml", "files.csv"}


def test_several_archives_make_one_dataset(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny", urls=("https://example.org/no.zip", "https://other.example/yes.zip"))
    for label in ("no", "yes"):
        files = {n: b for n, b in IMAGES.items() if n.startswith(f"{label}/")}
        server.page(f"/{label}.zip", zipped(files))
    fetch_dataset("tiny", data_root=root)
    assert images_in(root / "tiny") == IMAGES


def test_nothing_but_the_files_is_left(server: FaultyServer, root: Path, bundled: Path) -> None:
    server.page("/tiny.zip", zipped(IMAGES))
    fetch_dataset("tiny", data_root=root)
    assert [p.name for p in root.iterdir()] == ["tiny"]
    downloads = folders.cache_folder() / "downloads"
    assert [p for p in downloads.rglob("*") if p.is_file()] == []


# What is there already


def test_a_complete_dataset_is_not_fetched_again(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny")
    server.page("/tiny.zip", zipped(IMAGES))
    fetch_dataset("tiny", data_root=root)
    told: list[str] = []
    assert fetch_dataset("tiny", data_root=root, progress=lambda text, _: told.append(text)) == root / "tiny"
    assert "tiny is complete in" in told[-1]
    assert len(server.log) == 1


def test_what_is_missing_is_added_and_the_rest_not_touched(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny")
    server.page("/tiny.zip", zipped(IMAGES))
    fetch_dataset("tiny", data_root=root)
    lost, *kept = IMAGES
    (root / "tiny" / lost).unlink()
    before = {name: (root / "tiny" / name).stat() for name in kept}
    fetch_dataset("tiny", data_root=root)
    assert images_in(root / "tiny") == IMAGES
    assert {name: (root / "tiny" / name).stat() for name in kept} == before


def test_a_dataset_is_completed_where_the_environment_has_it(
    server: FaultyServer, root: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_DATA", str(root))
    (root / "tiny" / "no").mkdir(parents=True)
    (root / "tiny" / next(iter(IMAGES))).write_bytes(IMAGES[next(iter(IMAGES))])
    server.page("/tiny.zip", zipped(IMAGES))
    assert fetch_dataset("tiny") == root / "tiny"
    assert tree(root / "tiny") == IMAGES


def test_a_file_that_differs_is_reported_and_never_replaced(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny")
    server.page("/tiny.zip", zipped(IMAGES))
    mine = root / "tiny" / "no" / "1 (1)%0.png"
    mine.parent.mkdir()
    mine.write_bytes(png(99))
    with pytest.raises(FetchError, match=r"1 of 4 files .*first: no/1 \(1\)%0.png") as e:
        fetch_dataset("tiny", data_root=root)
    assert "delete them and run 'harness fetch tiny'" in one_line(e)
    assert mine.read_bytes() == png(99)
    mine.unlink()
    fetch_dataset("tiny", data_root=root)
    assert images_in(root / "tiny") == IMAGES


# What the server may send


def test_wrong_files_are_reported_by_count_and_first_name(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny")
    wrong = {name: png(50 + i) if i else content for i, (name, content) in enumerate(IMAGES.items())}
    server.page("/tiny.zip", zipped(wrong))
    with pytest.raises(FetchError, match=r"3 of 4 files .*first: no/1 \(1\)%0.png") as e:
        fetch_dataset("tiny", data_root=root)
    one_line(e)


def test_missing_files_are_reported(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny")
    server.page("/tiny.zip", zipped(dict(list(IMAGES.items())[:3])))
    with pytest.raises(FetchError, match=r"1 of 4 files .*missing.*first: yes/1 \(1\)%0.png"):
        fetch_dataset("tiny", data_root=root)


def test_a_damaged_archive_leaves_nothing_and_is_fetched_anew(
    server: FaultyServer, root: Path, bundled: Path
) -> None:
    good = zipped(IMAGES)
    middle = len(good) // 2
    server.page("/tiny.zip", good[:middle] + b"damage!!" + good[middle + 8 :])
    with pytest.raises(FetchError, match=r"dataset 'tiny': 'tiny.archive' is damaged: entry") as error:
        fetch_dataset("tiny", data_root=root)
    one_line(error)
    assert list(root.iterdir()) == []
    server.page("/tiny.zip", good)
    fetch_dataset("tiny", data_root=root)
    assert tree(root / "tiny") == IMAGES


@pytest.mark.parametrize("name", ["../escape.png", "/tmp/escape.png", "a/../../../escape.png"])
def test_an_archive_that_leads_out_leaves_nothing(
    server: FaultyServer, root: Path, bundled: Path, name: str
) -> None:
    server.page("/tiny.zip", zipped(IMAGES | {name: b"evil"}))
    with pytest.raises(FetchError, match="nothing was unpacked"):
        fetch_dataset("tiny", data_root=root)
    assert list(root.iterdir()) == []
    assert not list(root.parent.rglob("escape*"))
    assert not Path("/tmp/escape.png").exists()


def test_a_nested_archive_that_leads_out_leaves_nothing(
    server: FaultyServer, root: Path, bundled: Path
) -> None:
    write_card(bundled, archives=("inner.zip",))
    server.page("/tiny.zip", zipped({"inner.zip": zipped({"../../escape.png": b"evil"})}))
    with pytest.raises(FetchError, match=r"'inner.zip': entry '../../escape.png'"):
        fetch_dataset("tiny", data_root=root)
    assert list(root.iterdir()) == []


def test_a_nested_archive_that_is_missing_is_named(server: FaultyServer, root: Path, bundled: Path) -> None:
    write_card(bundled, archives=("zips/no.zip",))
    server.page("/tiny.zip", zipped(IMAGES))
    with pytest.raises(FetchError, match=r"does not hold 'zips/no.zip'"):
        fetch_dataset("tiny", data_root=root)
    assert list(root.iterdir()) == []


def test_a_login_page_instead_of_an_archive_is_told(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny", kind="kaggle")
    server.page("/tiny.zip", b"<!DOCTYPE html><title>Sign in</title>")
    with pytest.raises(FetchError, match="a web page, perhaps a login.*by hand: Ask the authors, and wait"):
        fetch_dataset("tiny", data_root=root)


@pytest.mark.parametrize("status", [401, 403])
def test_kaggle_without_a_login_says_how_to_log_in(server: FaultyServer, root: Path, status: int) -> None:
    write_card(root / "tiny", kind="kaggle")
    server.page("/tiny.zip", faults=[Fault(f"status {status}")])
    with pytest.raises(FetchError, match=f"HTTP {status}.*KAGGLE_USERNAME and KAGGLE_KEY.*by hand") as error:
        fetch_dataset("tiny", data_root=root)
    one_line(error)


def test_a_file_that_is_gone_says_what_to_do_by_hand(server: FaultyServer, root: Path) -> None:
    write_card(root / "tiny")
    with pytest.raises(FetchError, match="dataset 'tiny': .*HTTP 404.*by hand: Ask the authors") as error:
        fetch_dataset("tiny", data_root=root)
    assert "KAGGLE" not in one_line(error)


# No network, no place


def test_no_network_is_one_line_within_ten_seconds(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_card(root / "tiny", urls=("https://no-such-host.invalid/tiny.zip",))
    monkeypatch.delenv("HARNESS_MIRROR")
    started = time.monotonic()
    with pytest.raises(
        NoNetwork, match=r"dataset 'tiny': no network: cannot reach 'no-such-host.invalid'"
    ) as e:
        fetch_dataset("tiny", data_root=root)
    assert time.monotonic() - started < 10
    assert "by hand: Ask the authors, and wait." in one_line(e)
    assert not list(root.glob(".*"))


def test_a_closed_port_is_no_network(root: Path) -> None:
    write_card(root / "tiny")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(NoNetwork, match="Connection refused"):
        fetch_dataset("tiny", data_root=root, base_url=closed)


def test_a_place_that_cannot_be_written_is_known_before_the_download(
    server: FaultyServer, root: Path, bundled: Path
) -> None:
    (root / "file").write_bytes(b"")
    with pytest.raises(FetchError, match="cannot write below") as error:
        fetch_dataset("tiny", data_root=root / "file")
    one_line(error)
    assert server.log == []


def test_a_cache_that_cannot_be_written_is_one_line(
    server: FaultyServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_card(root / "tiny")
    (root / "file").write_bytes(b"")
    monkeypatch.setenv("HARNESS_CACHE", str(root / "file"))
    with pytest.raises(FetchError, match="cannot write") as error:
        fetch_dataset("tiny", data_root=root)
    assert "HARNESS_CACHE" in one_line(error)


# What is not to be fetched


def test_an_unknown_name_gets_close_names(root: Path) -> None:
    with pytest.raises(UnknownName, match="you probably meant 'covid-ct'"):
        fetch_dataset("covidct", data_root=root)


def test_a_card_without_an_address_is_a_usage_error(root: Path) -> None:
    folder = write_card(root / "tiny")
    card = folder / "card.toml"
    card.write_text(card.read_text().split("[fetch]")[0])
    with pytest.raises(
        UsageError, match=r"dataset 'tiny' is not fetched: its card names no address"
    ) as error:
        fetch_dataset("tiny", data_root=root)
    one_line(error)


def test_a_dataset_that_makes_its_files_is_a_usage_error(root: Path) -> None:
    write_card(root / "tiny", urls=())
    card = root / "tiny" / "card.toml"
    card.write_text("generated = true\n" + card.read_text())
    with pytest.raises(UsageError, match="its files are made on first use"):
        fetch_dataset("tiny", data_root=root)


def test_a_card_whose_inner_archive_leads_out_is_a_card_error(root: Path) -> None:
    write_card(root / "tiny", archives=("../other.zip",))
    with pytest.raises(CardError, match=r"'../other.zip' leads out"):
        fetch_dataset("tiny", data_root=root)


# Mirrors and logins


def test_a_base_url_comes_before_the_mirror_of_the_environment(
    server: FaultyServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_card(root / "tiny")
    monkeypatch.setenv("HARNESS_MIRROR", "http://no-such-host.invalid")
    server.page("/files/tiny.zip", zipped(IMAGES))
    fetch_dataset("tiny", data_root=root, base_url=f"{server.url}/files/")
    assert images_in(root / "tiny") == IMAGES


def login_sent(root: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> str | None:
    """Return the login that a fetch of `url` would send."""
    sent: list[str | None] = []

    def instead(url: str, target: Path, *, progress: object, authorization: str | None) -> Path:
        sent.append(authorization)
        raise FetchError("no further")

    monkeypatch.delenv("HARNESS_MIRROR")
    monkeypatch.setattr(fetch, "download", instead)
    write_card(root / "tiny", kind="kaggle", urls=(url,))
    with pytest.raises(FetchError, match="no further"):
        fetch_dataset("tiny", data_root=root)
    return sent[0]


BASIC = "Basic " + base64.b64encode(b"me:secret").decode()


def test_kaggle_gets_the_login_of_the_environment(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    assert login_sent(root, "https://www.kaggle.com/api/v1/x", monkeypatch) == BASIC


def test_kaggle_gets_the_login_of_its_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAGGLE_CONFIG_DIR")
    (root.parent / "home" / ".kaggle").mkdir(parents=True)
    (root.parent / "home" / ".kaggle" / "kaggle.json").write_text('{"username": "me", "key": "secret"}')
    assert login_sent(root, "https://kaggle.com/api/v1/x", monkeypatch) == BASIC


def test_kaggle_is_asked_without_a_login_where_there_is_none(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert login_sent(root, "https://www.kaggle.com/x", monkeypatch) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/x",
        "https://kaggle.com.example.org/x",
        "https://notkaggle.com/x",
        "https://example.org/www.kaggle.com/x",
        "http://www.kaggle.com/x",
    ],
)
def test_nobody_else_gets_the_login_for_kaggle(root: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    assert login_sent(root, url, monkeypatch) is None


def test_a_mirror_does_not_get_the_login_for_kaggle(
    server: FaultyServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    write_card(root / "tiny", kind="kaggle", urls=("https://www.kaggle.com/tiny.zip",))
    server.page("/tiny.zip", zipped(IMAGES))
    fetch_dataset("tiny", data_root=root)
    assert "Authorization" not in server.log[0].headers


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"username": "me"}', "\xff"])
def test_a_login_file_without_a_login_is_a_usage_error(
    root: Path, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    (root.parent / "kaggle").mkdir()
    (root.parent / "kaggle" / "kaggle.json").write_bytes(content.encode("latin-1"))
    monkeypatch.delenv("HARNESS_MIRROR")
    write_card(root / "tiny", kind="kaggle", urls=("https://www.kaggle.com/x",))
    with pytest.raises(UsageError, match="holds no Kaggle login") as error:
        fetch_dataset("tiny", data_root=root)
    one_line(error)


# Killed, and several at once

FETCH = (
    "import sys; from pathlib import Path; from harness.fetch import fetch_dataset;"
    "fetch_dataset(sys.argv[1], data_root=Path(sys.argv[2]))"
)


def fetching(root: Path) -> subprocess.Popen[bytes]:
    here = {**os.environ, "PYTHONPATH": str(Path(fetch.__file__).parents[1])}
    return subprocess.Popen([sys.executable, "-c", FETCH, "tiny", str(root)], env=here)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_killed_download_goes_on_with_the_missing_bytes_only(server: FaultyServer, root: Path) -> None:
    images = {name: png(i, 400) for i, name in enumerate(IMAGES)}
    write_card(root / "tiny", images)
    content = zipped(images)
    server.page("/tiny.zip", content, etag='"1"', faults=[Fault("drip", pause_s=0.05)])
    process = fetching(root)

    def received() -> int:
        parts = list((folders.cache_folder() / "downloads").rglob("*.part"))
        return parts[0].stat().st_size if parts else 0

    wait_until(lambda: received() > 100_000)
    process.send_signal(signal.SIGKILL)
    assert process.wait(10) == -signal.SIGKILL
    held = received()
    assert 100_000 < held < len(content)
    fetch_dataset("tiny", data_root=root)
    assert images_in(root / "tiny") == images
    assert server.log[1].headers["Range"] == f"bytes={held}-"
    assert server.sent_bytes("/tiny.zip")[1] == len(content) - held
    assert [p.name for p in root.iterdir()] == ["tiny"]


def interrupted(*_: object, **__: object) -> Path:
    raise KeyboardInterrupt


def test_a_complete_archive_of_a_killed_process_is_not_fetched_again(
    server: FaultyServer, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_card(root / "tiny")
    server.page("/tiny.zip", zipped(IMAGES))
    with monkeypatch.context() as patched:
        patched.setattr(fetch, "unpack", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_dataset("tiny", data_root=root)
    fetch_dataset("tiny", data_root=root)
    assert len(server.log) == 1


def test_what_a_process_killed_while_unpacking_left_is_removed(
    server: FaultyServer, root: Path, bundled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.page("/tiny.zip", zipped(IMAGES))
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", lambda *_, **__: None)
        patched.setattr(fetch._Job, "install", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch_dataset("tiny", data_root=root)
    assert next(root.iterdir()).name.startswith(".tiny.fetching-")
    fetch_dataset("tiny", data_root=root)
    assert [p.name for p in root.iterdir()] == ["tiny"]


def test_two_processes_fetch_a_dataset_once(server: FaultyServer, root: Path) -> None:
    images = {name: png(i, 200) for i, name in enumerate(IMAGES)}
    write_card(root / "tiny", images)
    server.page("/tiny.zip", zipped(images), faults=[Fault("drip", pause_s=0.05)])
    both = [fetching(root) for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    assert images_in(root / "tiny") == images
    assert len(server.log) == 1


# The real thing


@pytest.mark.data
def test_covid_ct_is_fetched_from_archives_like_its_authors(server: FaultyServer, root: Path) -> None:
    assert DATA is not None, "set HARNESS_DATA"
    outer = {"COVID-CT-master/README.md": b"readme"}
    for name in ("CT_COVID", "CT_NonCOVID"):
        files = {f"{name}/{p.name}": p.read_bytes() for p in (Path(DATA) / "covid-ct" / name).iterdir()}
        outer[f"COVID-CT-master/Images-processed/{name}.zip"] = zipped(files)
    archive = zipped(outer)
    server.page("/codeload", archive, chunked=True, faults=[Fault("hang-up", after=20_000_000)])
    server.page("/UCSD-AI4H/COVID-CT/archive/refs/heads/master.zip", redirect="/codeload")
    place = fetch_dataset("covid-ct", data_root=root)
    assert len(open_dataset("covid-ct", data_root=root)) == 746
    assert not list((place / "Images-processed").iterdir())
