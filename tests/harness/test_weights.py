from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from faulty_server import Fault, FaultyServer, Page
from safetensors.numpy import save

from harness import weights
from harness.catalogue import Network
from harness.errors import UnknownName, WeightsUnavailable
from harness.folders import cache_folder
from harness.weights import Weights, checkpoints_folder, choose_backbone, find, obtain

HUB = "https://huggingface.co/timm/tiny.x/resolve/main"


@cache
def archive(content: bytes = b"numbers" * 500) -> bytes:
    """A zip archive such as torch.save writes: members stored as they are."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as zipped:
        zipped.writestr("tiny/data.pkl", content)
        zipped.writestr("tiny/version", b"3")
    return file.getvalue()


LEGACY = pickle.dumps({"weight": [1.0] * 300})
"""Weights as torch saved them until 2020: a bare pickle, which does not say where it ends."""

SAFETENSORS = save({"weight": np.ones((3, 4), np.float32), "bias": np.zeros(4, np.float32)})


def published(content: bytes) -> str:
    return f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.pth"


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory of failures, no proxies, no waiting between attempts."""
    monkeypatch.setattr(weights, "_failures", {})
    monkeypatch.setattr("harness.download.BACKOFF_SECONDS", (0.01, 0.01, 0.01))
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "HARNESS_MIRROR", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyServer]:
    with FaultyServer().running() as running:
        monkeypatch.setenv("HARNESS_MIRROR", running.url)
        yield running


@pytest.fixture
def know(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let networks of these names have their weights at these URLs; all others have none on the disk."""

    def catalogue(**urls: tuple[str, ...]) -> None:
        networks = {name.replace("timm_", "timm:"): where for name, where in urls.items()}

        def find_network(name: str) -> Network:
            return Network(
                name, networks.get(name, (f"https://download.pytorch.org/models/{name}-00000000.pth",))
            )

        monkeypatch.setattr(weights, "find_network", find_network)
        monkeypatch.setattr(weights, "canonical", lambda name: find_network(name).name)

    return catalogue


def place(name: str, content: bytes) -> Path:
    path = checkpoints_folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def find_in(content: bytes | bytearray) -> Weights:
    path = place("tiny-12345678.pth", bytes(content))
    os.utime(path, ns=(0, int.from_bytes(hashlib.sha256(content).digest()[:6], "big")))
    return find("tiny")


def url(name: str) -> str:
    return f"https://download.pytorch.org/models/{name}"


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def requests(server: FaultyServer) -> list[str]:
    return [served.path for served in server.log]


class TestFind:
    def test_takes_a_file_whose_digest_begins_as_its_name_says(self, know: Callable[..., None]) -> None:
        know(tiny=(url(published(LEGACY)),))
        path = place(published(LEGACY), LEGACY)
        assert find("tiny") == Weights("tiny", path, hashlib.sha256(LEGACY).hexdigest(), None)

    def test_says_which_file_is_absent(self, know: Callable[..., None]) -> None:
        know(tiny=(url("tiny-12345678.pth"),))
        assert find("tiny") == Weights("tiny", None, None, "tiny-12345678.pth is not on this disk")
        assert find("tiny").identity == "none"

    @pytest.mark.parametrize("content", [LEGACY, archive()])
    @pytest.mark.parametrize("keep", [0, 1, 300, -1])
    def test_refuses_a_truncated_file(self, know: Callable[..., None], content: bytes, keep: int) -> None:
        know(tiny=(url(published(content)),))
        place(published(content), content[:keep])
        found = find("tiny")
        assert found.file is None
        assert re.fullmatch(
            rf"{published(content)} is damaged: its SHA-256 begins with \w{{8}}, its name says \w{{8}}",
            found.reason or "",
        )

    def test_takes_a_whole_archive_that_was_saved_again_and_says_so(self, know: Callable[..., None]) -> None:
        know(tiny=(url("tiny-12345678.pth"),))
        path = place("tiny-12345678.pth", archive())
        found = find("tiny")
        assert (found.file, found.identity) == (path, hashlib.sha256(archive()).hexdigest())
        assert found.reason == f"its SHA-256 begins with {found.identity[:8]}, its name says 12345678"

    def test_refuses_an_archive_with_one_wrong_bit(self, know: Callable[..., None]) -> None:
        know(tiny=(url("tiny-12345678.pth"),))
        damaged = bytearray(archive())
        damaged[200] ^= 1
        place("tiny-12345678.pth", bytes(damaged))
        assert find("tiny").file is None

    def test_survives_an_archive_that_is_damaged_anywhere(self, know: Callable[..., None]) -> None:
        know(tiny=(url("tiny-12345678.pth"),))
        sound = archive(b"numbers" * 3)
        for position in range(len(sound)):
            damaged = bytearray(sound)
            damaged[position] ^= 0xFF
            found = find_in(damaged)
            assert (found.file is None) == (found.sha256 is None)

    def test_refuses_an_archive_that_unpacks_to_more_than_it_is(self, know: Callable[..., None]) -> None:
        know(tiny=(url("tiny-12345678.pth"),))
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as zipped:
            zipped.writestr("tiny/data.pkl", bytes(10_000_000))
        place("tiny-12345678.pth", file.getvalue())
        assert find("tiny").file is None

    def test_refuses_a_bare_pickle_whose_name_vouches_for_nothing(self, know: Callable[..., None]) -> None:
        know(tiny=(url("tiny.pth"),))
        place("tiny.pth", LEGACY)
        assert find("tiny").reason == "tiny.pth is damaged: it is not a whole file of weights"

    def test_takes_the_next_file_when_the_best_is_absent_or_damaged(self, know: Callable[..., None]) -> None:
        know(tiny=(url("tiny-12345678.pth"), url(published(LEGACY))))
        second = place(published(LEGACY), LEGACY)
        assert find("tiny").file == second
        place("tiny-12345678.pth", b"half of it")
        assert find("tiny").file == second

    def test_says_when_a_network_was_never_trained(self, know: Callable[..., None]) -> None:
        know(tiny=(), timm_tiny=())
        assert find("tiny").reason == "torchvision has no pretrained weights for it"
        assert find("timm:tiny").reason == "timm has no pretrained weights for it"

    def test_is_not_confused_by_a_folder_of_that_name(self, know: Callable[..., None]) -> None:
        know(tiny=(url("tiny-12345678.pth"),))
        (checkpoints_folder() / "tiny-12345678.pth").mkdir(parents=True)
        assert find("tiny").file is None

    def test_says_when_a_file_cannot_be_read(
        self, know: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        know(tiny=(url("tiny-12345678.pth"),))
        place("tiny-12345678.pth", archive())

        def denied(path: Path) -> str:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(weights, "_sha256", denied)
        assert find("tiny").reason == "tiny-12345678.pth cannot be read (Permission denied)"

    def test_refuses_an_unknown_network(self) -> None:
        with pytest.raises(UnknownName, match="you probably meant 'vgg16'"):
            find("vg16")


class TestFilesOfTheHub:
    @staticmethod
    def cached(content: bytes, file: str = "model.safetensors") -> Path:
        """Lay out a file as huggingface_hub does: a blob, a snapshot, a reference."""
        folder = Path(os.environ["HF_HOME"]) / "hub" / "models--timm--tiny.x"
        path = folder / "snapshots" / "abc123" / file
        for parent in (path.parent, folder / "refs", folder / "blobs"):
            parent.mkdir(parents=True, exist_ok=True)
        (folder / "refs" / "main").write_text("abc123")
        blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
        blob.write_bytes(content)
        path.symlink_to(blob)
        return path

    def test_are_found_in_its_cache(self, know: Callable[..., None]) -> None:
        know(timm_tiny=(f"{HUB}/model.safetensors",))
        path = self.cached(SAFETENSORS)
        assert find("timm:tiny") == Weights("timm:tiny", path, hashlib.sha256(SAFETENSORS).hexdigest(), None)

    def test_are_where_its_own_library_finds_them(self, know: Callable[..., None]) -> None:
        from huggingface_hub import try_to_load_from_cache

        self.cached(SAFETENSORS)
        theirs = try_to_load_from_cache("timm/tiny.x", "model.safetensors", cache_dir=weights._hub_cache())
        know(timm_tiny=(f"{HUB}/model.safetensors",))
        assert find("timm:tiny").file == Path(str(theirs))

    @pytest.mark.parametrize(
        ("variables", "folder"),
        [
            ({"HF_HUB_CACHE": "/a/cache", "HF_HOME": "/b"}, "/a/cache"),
            ({"HF_HOME": "/b"}, "/b/hub"),
            ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
            ({"HOME": "/home/somebody"}, "/home/somebody/.cache/huggingface/hub"),
        ],
    )
    def test_lie_where_the_variables_of_the_hub_say(
        self, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
    ) -> None:
        for name in ("HF_HOME", "XDG_CACHE_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        assert weights._hub_cache() == Path(folder)

    @pytest.mark.parametrize(
        "content",
        [
            SAFETENSORS[:-1],
            SAFETENSORS + b"\0",
            SAFETENSORS[:9],
            b"",
            b"\xff" * 40,
            (2).to_bytes(8, "little") + b"{}",
            (2).to_bytes(8, "little") + b"[]",
            (9).to_bytes(8, "little") + b'{"a":"b"}',
            (60_000).to_bytes(8, "little") + b'{"a":' * 12_000,
        ],
    )
    def test_are_refused_when_they_are_not_whole(self, know: Callable[..., None], content: bytes) -> None:
        know(timm_tiny=(f"{HUB}/model.safetensors",))
        self.cached(content)
        assert find("timm:tiny").reason == "model.safetensors is damaged: it is not a whole file of weights"

    @pytest.mark.parametrize("reference", [b"\xff\xfe", b"../../..", b"a\0b", b""])
    def test_are_absent_when_the_reference_makes_no_sense(
        self, know: Callable[..., None], reference: bytes
    ) -> None:
        know(timm_tiny=(f"{HUB}/model.safetensors",))
        self.cached(SAFETENSORS)
        (Path(os.environ["HF_HOME"]) / "hub/models--timm--tiny.x/refs/main").write_bytes(reference)
        assert find("timm:tiny").reason == "timm--tiny.x.safetensors is not on this disk"

    def test_come_as_an_archive_too(self, know: Callable[..., None]) -> None:
        know(timm_tiny=(f"{HUB}/model.safetensors", f"{HUB}/pytorch_model.bin"))
        path = self.cached(archive(), "pytorch_model.bin")
        assert find("timm:tiny").file == path

    def test_that_we_download_keep_their_repository_in_the_name(
        self, know: Callable[..., None], server: FaultyServer
    ) -> None:
        know(timm_tiny=(f"{HUB}/model.safetensors",))
        server.pages["/timm/tiny.x/resolve/main/model.safetensors"] = Page(SAFETENSORS)
        assert obtain("timm:tiny").file == checkpoints_folder() / "timm--tiny.x.safetensors"


class TestMemory:
    @pytest.fixture
    def digests(self, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
        """The files that were read to compute a digest, one entry each time."""
        read: list[Path] = []
        real = weights._sha256

        def counted(path: Path) -> str:
            read.append(path)
            return real(path)

        monkeypatch.setattr(weights, "_sha256", counted)
        return read

    def test_a_digest_is_computed_once(self, know: Callable[..., None], digests: list[Path]) -> None:
        know(tiny=(url(published(LEGACY)),))
        path = place(published(LEGACY), LEGACY)
        assert find("tiny") == find("tiny")
        assert digests == [path]

    def test_a_file_that_changed_is_read_again(self, know: Callable[..., None], digests: list[Path]) -> None:
        know(tiny=(url(published(LEGACY)),))
        path = place(published(LEGACY), LEGACY)
        assert find("tiny").file == path
        path.write_bytes(LEGACY[:-1])
        assert find("tiny").file is None
        path.write_bytes(LEGACY)
        os.utime(path, ns=(1, 1))
        assert find("tiny").file == path
        assert len(digests) == 3

    @pytest.mark.parametrize("damage", ["", "{", "[]", '{"sha256": "zz"}', '{"path": 1, "sha256": null}'])
    def test_a_damaged_note_is_not_believed(
        self, know: Callable[..., None], digests: list[Path], damage: str
    ) -> None:
        know(tiny=(url(published(LEGACY)),))
        place(published(LEGACY), LEGACY)
        find("tiny")
        (note,) = (cache_folder() / "weights").iterdir()
        note.write_text(damage)
        assert find("tiny").sha256 == hashlib.sha256(LEGACY).hexdigest()
        assert len(digests) == 2
        assert json.loads(note.read_text())["sha256"] == find("tiny").sha256


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"TORCH_HOME": "/a"}, "/a/hub/checkpoints"),
        ({"TORCH_HOME": "~/a", "HOME": "/home/somebody"}, "/home/somebody/a/hub/checkpoints"),
        ({"XDG_CACHE_HOME": "/b"}, "/b/torch/hub/checkpoints"),
        ({"HOME": "/home/somebody"}, "/home/somebody/.cache/torch/hub/checkpoints"),
    ],
)
def test_files_lie_where_torch_hub_keeps_them(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    import torch

    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert checkpoints_folder() == Path(folder) == Path(torch.hub.get_dir()) / "checkpoints"


class TestObtain:
    NAME = published(LEGACY)

    @pytest.fixture(autouse=True)
    def _known(self, know: Callable[..., None]) -> None:
        know(tiny=(url(self.NAME),))

    def test_downloads_what_is_not_on_the_disk_and_says_how_far_it_is(self, server: FaultyServer) -> None:
        server.pages[f"/models/{self.NAME}"] = Page(LEGACY)
        told: list[tuple[str, float | None]] = []
        got = obtain("tiny", lambda what, fraction: told.append((what, fraction)))
        assert got == find("tiny")
        assert got.file == checkpoints_folder() / self.NAME
        assert told[-1][1] == 1.0
        assert told[-1][0].startswith(f"downloading {Path(self.NAME).stem}")

    def test_does_not_ask_the_network_for_what_is_there(self, server: FaultyServer) -> None:
        place(self.NAME, LEGACY)
        assert obtain("tiny").file is not None
        assert requests(server) == []

    def test_does_not_keep_wrong_bytes(self, server: FaultyServer) -> None:
        server.pages[f"/models/{self.NAME}"] = Page(archive())
        got = obtain("tiny")
        assert got.file is None
        assert f"sent as {self.NAME} is damaged: its SHA-256 begins with" in (got.reason or "")
        assert [p.name for p in checkpoints_folder().iterdir() if p.suffix != ".lock"] == []

    def test_replaces_a_damaged_file(self, server: FaultyServer) -> None:
        server.pages[f"/models/{self.NAME}"] = Page(LEGACY)
        path = place(self.NAME, LEGACY[:50])
        assert obtain("tiny").file == path
        assert path.read_bytes() == LEGACY

    def test_leaves_a_damaged_file_when_nothing_better_comes_and_names_both_reasons(
        self, server: FaultyServer
    ) -> None:
        path = place(self.NAME, LEGACY[:50])
        reason = obtain("tiny").reason or ""
        assert "is damaged" in reason
        assert "404" in reason
        assert path.read_bytes() == LEGACY[:50]

    def test_goes_on_to_the_next_place_after_a_refusal(
        self, server: FaultyServer, know: Callable[..., None]
    ) -> None:
        know(tiny=(url("gone-12345678.pth"), url(self.NAME)))
        server.pages[f"/models/{self.NAME}"] = Page(LEGACY)
        assert obtain("tiny").file == checkpoints_folder() / self.NAME

    def test_survives_a_connection_that_breaks(self, server: FaultyServer) -> None:
        server.pages[f"/models/{self.NAME}"] = Page(LEGACY, etag='"1"', faults=[Fault("hang-up", after=100)])
        assert obtain("tiny").file is not None

    def test_knows_without_a_network_why_and_asks_only_once(
        self, monkeypatch: pytest.MonkeyPatch, know: Callable[..., None]
    ) -> None:
        from harness import download

        know(tiny=(url(self.NAME), url("tiny-12345678.pth")), other=(url("other-12345678.pth"),))
        monkeypatch.setenv("HARNESS_MIRROR", f"http://127.0.0.1:{closed_port()}")
        asked: list[str] = []
        real = download.download

        def counted(url: str, *arguments: object, **options: object) -> Path:
            asked.append(url)
            return real(url, *arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(download, "download", counted)
        got = [obtain(name) for name in ("tiny", "other", "tiny")]
        assert {g.file for g in got} == {None}
        assert all(re.match(r"no network: cannot reach '127.0.0.1:\d+'[^;\n]*$", g.reason or "") for g in got)
        assert len(asked) == 1

    def test_does_not_ask_twice_for_what_was_refused(self, server: FaultyServer) -> None:
        assert obtain("tiny") == obtain("tiny")
        assert len(requests(server)) == 1

    def test_says_when_the_folder_cannot_be_written(
        self, server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server.pages[f"/models/{self.NAME}"] = Page(LEGACY)
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
        got = obtain("tiny")
        assert got.file is None
        assert (got.reason or "").startswith("cannot write ")

    def test_of_a_network_that_was_never_trained_asks_nobody(
        self, server: FaultyServer, know: Callable[..., None]
    ) -> None:
        know(tiny=())
        assert obtain("tiny").reason == "torchvision has no pretrained weights for it"
        assert requests(server) == []


class TestChooseBackbone:
    @pytest.fixture(autouse=True)
    def _offline(self, know: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
        know()
        monkeypatch.setenv("HARNESS_MIRROR", f"http://127.0.0.1:{closed_port()}")

    @staticmethod
    def have(name: str) -> None:
        place(f"{name}-00000000.pth", archive())

    def test_takes_what_was_asked_for(self) -> None:
        self.have("resnet18")
        assert choose_backbone("resnet18") == ("resnet18", None)

    def test_refuses_what_was_asked_for_when_it_cannot_be_had(self) -> None:
        self.have("squeezenet1_1")
        with pytest.raises(WeightsUnavailable) as error:
            choose_backbone("resnet18")
        assert re.fullmatch(
            r"weights of 'resnet18' cannot be had: no network: cannot reach .*; put resnet18-00000000.pth into "
            r"hub/checkpoints of TORCH_HOME, or connect to a network",
            str(error.value),
        )

    def test_takes_the_default_without_a_word_when_it_is_there(self) -> None:
        self.have("vgg16")
        self.have("squeezenet1_1")
        assert choose_backbone(None) == ("vgg16", None)

    def test_takes_another_backbone_on_the_disk_in_place_of_the_default_and_says_so(self) -> None:
        self.have("squeezenet1_1")
        assert choose_backbone(None) == (
            "squeezenet1_1",
            "features from squeezenet1_1: vgg16's weights cannot be had (no network)",
        )

    def test_takes_the_first_of_the_documented_order(self) -> None:
        for name in reversed(weights.ALTERNATIVES[1:]):
            self.have(name)
            assert choose_backbone(None)[0] == name

    def test_falls_back_on_the_split_network_and_says_so(self) -> None:
        assert choose_backbone(None) == (
            "split-network",
            "no pretrained backbone could be had: features from a small network trained on the training "
            "part of the same split (vgg16: no network)",
        )

    def test_says_when_the_default_is_there_but_damaged(self) -> None:
        self.have("squeezenet1_1")
        place("vgg16-00000000.pth", b"half of it")
        _, note = choose_backbone(None, fetch=False)
        assert re.fullmatch(
            r"features from squeezenet1_1: .* \(vgg16-00000000.pth is damaged: .*\)", note or ""
        )

    def test_does_not_take_a_damaged_alternative(self) -> None:
        place("squeezenet1_1-00000000.pth", archive()[:-5])
        assert choose_backbone(None)[0] == "split-network"

    def test_takes_the_split_network_when_asked_to(self) -> None:
        self.have("vgg16")
        name, note = choose_backbone("split-network")
        assert name == "split-network"
        assert "training part of the same split" in (note or "")

    def test_asks_only_the_disk_without_fetch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def asked(*arguments: object, **options: object) -> Path:
            raise AssertionError("the network was asked")

        monkeypatch.setattr("harness.download.download", asked)
        assert choose_backbone(None, fetch=False)[0] == "split-network"
        with pytest.raises(WeightsUnavailable, match="is not on this disk"):
            choose_backbone("vgg16", fetch=False)

    def test_says_what_to_do_about_a_network_that_was_never_trained(self, know: Callable[..., None]) -> None:
        know(tiny=())
        with pytest.raises(
            WeightsUnavailable, match="has no pretrained weights for it; take another network"
        ):
            choose_backbone("tiny")


def test_an_unknown_backbone_is_an_error_even_without_a_network() -> None:
    with pytest.raises(UnknownName):
        choose_backbone("vgg-sixteen", fetch=False)


def test_weights_are_found_without_torch_once_the_index_is_made() -> None:
    place("vgg16-397923af.pth", archive())
    find("vgg16")
    code = """
import sys
from harness.weights import choose_backbone, find
print(find("vgg16").identity[:8], *choose_backbone(None), *({"torch", "torchvision", "timm"} & set(sys.modules)))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.split() == [hashlib.sha256(archive()).hexdigest()[:8], "vgg16", "None"]
