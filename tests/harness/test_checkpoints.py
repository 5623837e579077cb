from __future__ import annotations

import json
import os
import pickle
import sys
from pathlib import Path

import pytest
import torch
from hostile_files import bomb, cut, malicious, whole_module
from safetensors.torch import save_file
from torch import nn

from harness.checkpoints import header, is_whole_pickle, tensors
from harness.errors import WeightsUnavailable

STATE = {
    "conv.weight": torch.arange(12.0).reshape(3, 4),
    "conv.bias": torch.zeros(3),
    "seen": torch.tensor(7),
}


def assert_same(found: object, expected: dict[str, torch.Tensor]) -> None:
    assert isinstance(found, dict)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def features() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2))


class TestReads:
    def test_safetensors(self, tmp_path: Path) -> None:
        save_file(STATE, tmp_path / "x.safetensors", metadata={"network": "x"})
        assert_same(tensors(tmp_path / "x.safetensors"), STATE)

    @pytest.mark.parametrize("zipped", [True, False])
    def test_what_torch_saves_now_and_saved_before(self, tmp_path: Path, zipped: bool) -> None:
        torch.save(STATE, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
        assert_same(tensors(tmp_path / "x.pth"), STATE)

    @pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "net"])
    def test_a_network_beside_its_optimiser(self, tmp_path: Path, key: str) -> None:
        torch.save({"epoch": 3, key: STATE, "optimizer": {"lr": 0.1}}, tmp_path / "x.pth")
        assert_same(tensors(tmp_path / "x.pth"), STATE)

    def test_a_network_that_was_trained_on_several_cards(self, tmp_path: Path) -> None:
        parallel = {"state_dict": {f"module.{name}": value for name, value in STATE.items()}}
        torch.save(parallel, tmp_path / "x.pth")
        assert_same(tensors(tmp_path / "x.pth"), STATE)

    def test_a_network_with_a_part_called_module_keeps_its_names(self, tmp_path: Path) -> None:
        state = {"module.weight": torch.ones(2), "head.weight": torch.ones(3)}
        torch.save(state, tmp_path / "x.pth")
        assert_same(tensors(tmp_path / "x.pth"), state)

    @pytest.mark.parametrize("zipped", [True, False])
    def test_a_whole_module_of_torchxrayvision_without_that_package(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zipped: bool
    ) -> None:
        state = whole_module(tmp_path / "x.pt", features(), tmp_path / "site", monkeypatch, zipped=zipped)
        found = tensors(tmp_path / "x.pt")
        assert "features.1.num_batches_tracked" in found
        assert_same(found, state)
        assert not any(name.startswith("torchxrayvision") for name in sys.modules)

    def test_a_whole_module_whose_safe_reader_would_refuse_it_as_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        whole_module(tmp_path / "x.pt", features(), tmp_path / "site", monkeypatch, zipped=False)
        with pytest.raises(pickle.UnpicklingError):
            torch.load(tmp_path / "x.pt", weights_only=True)

    def test_nothing_stays_allowed_afterwards(self, tmp_path: Path) -> None:
        torch.save(STATE, tmp_path / "x.pth")
        before = torch.serialization.get_safe_globals()
        tensors(tmp_path / "x.pth")
        assert set(torch.serialization.get_safe_globals()) == set(before)


class TestRefuses:
    @pytest.mark.parametrize("kind", ["bare pickle", "archive", "legacy", "class of a module"])
    def test_a_file_that_would_run_code_and_runs_none_of_it(self, tmp_path: Path, kind: str) -> None:
        victim = tmp_path / "victim"
        (tmp_path / "x.pth").write_bytes(malicious(victim)[kind])
        with pytest.raises(WeightsUnavailable, match="cannot be read safely") as error:
            tensors(tmp_path / "x.pth")
        assert not victim.exists()
        assert "\n" not in str(error.value)
        assert "weights_only" not in str(error.value), "no advice to read it unsafely"

    def test_the_payload_of_this_test_works_where_it_is_trusted(self, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        pickle.loads(malicious(victim)["bare pickle"])
        assert victim.exists()

    @pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
    @pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
    def test_a_file_that_was_cut_off(self, tmp_path: Path, suffix: str, share: float) -> None:
        whole = tmp_path / f"whole{suffix}"
        state = {"weight": torch.ones(400)}
        save_file(state, whole) if suffix == ".safetensors" else torch.save(state, whole)
        (tmp_path / f"x{suffix}").write_bytes(cut(whole.read_bytes(), share))
        with pytest.raises(WeightsUnavailable, match="cannot be read safely"):
            tensors(tmp_path / f"x{suffix}")

    @pytest.mark.parametrize(
        "content", [{}, [1, 2], torch.ones(3), {"weight": [1.0]}, {3: torch.ones(2)}, {"model": {}}]
    )
    def test_a_file_without_tensors_by_name(self, tmp_path: Path, content: object) -> None:
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(WeightsUnavailable, match="no tensor"):
            tensors(tmp_path / "x.pth")

    def test_values_that_are_no_numbers(self, tmp_path: Path) -> None:
        torch.save({"fine": torch.ones(2), "burnt": torch.tensor([1.0, torch.nan])}, tmp_path / "x.pth")
        with pytest.raises(WeightsUnavailable, match="'burnt' holds values that are no numbers"):
            tensors(tmp_path / "x.pth")

    def test_tensors_that_no_network_has(self, tmp_path: Path) -> None:
        torch.save({"w": torch.eye(3).to_sparse()}, tmp_path / "x.pth")
        with pytest.raises(WeightsUnavailable, match="'w' is no plain array of numbers"):
            tensors(tmp_path / "x.pth")

    def test_an_archive_of_something_else(self, tmp_path: Path) -> None:
        bomb(tmp_path / "x.pth")
        with pytest.raises(WeightsUnavailable):
            tensors(tmp_path / "x.pth")

    def test_a_module_that_holds_itself(self, tmp_path: Path) -> None:
        endless = nn.Sequential(nn.Linear(2, 2))
        endless._modules["again"] = endless
        torch.save(endless, tmp_path / "x.pth")
        with pytest.raises(WeightsUnavailable, match="it holds a module in two places"):
            tensors(tmp_path / "x.pth")

    def test_a_few_modules_that_would_make_more_names_than_there_is_time_for(self, tmp_path: Path) -> None:
        module: nn.Module = nn.Linear(2, 2)
        for _ in range(60):
            module = nn.Sequential(module, module)
        torch.save(module, tmp_path / "x.pth")
        with pytest.raises(WeightsUnavailable, match="it holds a module in two places"):
            tensors(tmp_path / "x.pth")

    def test_modules_that_are_none(self, tmp_path: Path) -> None:
        odd = nn.Sequential(nn.Linear(2, 2))
        odd.__dict__["_buffers"] = [1, 2]
        torch.save(odd, tmp_path / "x.pth")
        with pytest.raises(WeightsUnavailable, match="cannot be read safely"):
            tensors(tmp_path / "x.pth")

    @pytest.mark.parametrize(
        "offsets", [[0, 4_000_000_000], [-8, 8], [8, 0], [0, 7], ["0", "8"], None], ids=str
    )
    def test_a_header_that_lies(self, tmp_path: Path, offsets: object) -> None:
        text = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": offsets}}).encode()
        (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * 8)
        with pytest.raises(WeightsUnavailable, match="cannot be read safely"):
            tensors(tmp_path / "x.safetensors")


class TestHeader:
    @pytest.mark.parametrize(
        "content",
        [b"", b"\1\2", b"\xff" * 8, (2**40).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]"],
    )
    def test_that_is_none(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.safetensors").write_bytes(content)
        with pytest.raises(ValueError, match="its header is"):
            header(tmp_path / "x.safetensors")

    def test_nested_without_end(self, tmp_path: Path) -> None:
        text = b"[" * 200_000
        (tmp_path / "x.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
        with pytest.raises(ValueError, match="no JSON"):
            header(tmp_path / "x.safetensors")


class TestWholeness:
    @pytest.mark.parametrize("what", ["state", "module"])
    def test_of_a_file_before_torch_1_6_is_seen_without_reading_its_objects(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
    ) -> None:
        file = tmp_path / "x.pt"
        if what == "state":
            torch.save(STATE | {"half": torch.ones(3).half()}, file, _use_new_zipfile_serialization=False)
        else:
            whole_module(file, features(), tmp_path / "site", monkeypatch, zipped=False)
        content = file.read_bytes()
        assert is_whole_pickle(file)
        for damaged in (content[:-1], content + b"\0", content[:100], b""):
            file.write_bytes(damaged)
            assert not is_whole_pickle(file)

    @pytest.mark.parametrize(
        "content",
        [
            pickle.dumps({"w": [1.0] * 300}),
            b"\x80\x02.",
            b"no pickle",
            b"\x80",
            b"\x80\x04\x8e" + (2**62).to_bytes(8, "little"),  # bytes of a length that no memory has
            b"\x80\x05\x96" + (2**62).to_bytes(8, "little"),
        ],
    )
    def test_of_other_files_is_not_claimed(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "x.pt").write_bytes(content)
        assert not is_whole_pickle(tmp_path / "x.pt")

    def test_is_looked_at_without_running_anything(self, tmp_path: Path) -> None:
        for kind, content in malicious(tmp_path / "victim").items():
            (tmp_path / "x.pt").write_bytes(content)
            is_whole_pickle(tmp_path / "x.pt")
            assert not os.path.exists(tmp_path / "victim"), kind  # noqa: PTH110
