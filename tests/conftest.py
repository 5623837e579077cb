"""No test touches the user's caches, data or weights unless it asks for them by a marker."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")

REAL_DATA = os.environ.get("HARNESS_DATA")
REAL_WEIGHTS = os.environ.get("TORCH_HOME")


@pytest.fixture(autouse=True)
def _own_folders(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every test has a cache of its own; only `data` tests see the real datasets and weights."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HARNESS_CACHE", str(home / "cache"))
    monkeypatch.setenv("HF_HOME", str(home / "hf"))
    if marker := request.node.get_closest_marker("data"):
        wanted = "HARNESS_PDFS" if "pdfs" in marker.args else "HARNESS_DATA"
        if wanted not in os.environ:
            pytest.skip(f"needs {wanted}")
        return
    monkeypatch.delenv("HARNESS_DATA", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(home / "torch"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real datasets; the test is skipped where there is none."""
    if REAL_DATA is None:
        pytest.skip("needs HARNESS_DATA")
    return Path(REAL_DATA)
