"""The product as it is installed: a real wheel in an environment of its own, run from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    keep = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "HARNESS_DATA")}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**keep, **environment},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    done = run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        ROOT,
        "--no-deps",
        "--no-build-isolation",
        "-w",
        folder,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("ct_harness-*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and a stand-in for Hugging Face's `datasets`, its dependencies after them."""
    folder = tmp_path_factory.mktemp("environment")
    assert run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder).returncode == 0
    python = folder / "bin" / "python"
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "datasets").mkdir()
    (site / "datasets" / "__init__.py").write_text("owner = 'somebody else'\n")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    done = run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    return python


def test_the_wheel_claims_no_name_of_others(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {t for t in tops if not t.endswith(".dist-info")} == {"harness", "baselines"}


def test_the_wheel_carries_cards_lists_and_published_tables(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    for wanted in (
        "harness/bundled/datasets/covid-ct/card.toml",
        "harness/bundled/datasets/covid-ct/files.csv",
        "harness/bundled/datasets/sars-cov-2-ct/card.toml",
        "harness/bundled/datasets/ct-phantom/card.toml",
        "harness/bundled/leaderboards/sars-cov-2-ct/published.toml",
        "harness/bundled/leaderboards/covid-ct/published.toml",
        "harness/templates/explanation.html",
        "harness/schemas/board.schema.json",
        "harness/schemas/verdicts.schema.json",
        "harness/report/templates/report.html",
        "harness/report/templates/report.css",
        "harness/report/templates/report.js",
        "harness/py.typed",
    ):
        assert wanted in names
    assert not [n for n in names if n.endswith((".png", ".parquet", ".jpg"))]


def test_the_installed_command_works_from_any_directory(python: Path, tmp_path: Path) -> None:
    done = run(python, "-m", "harness", "list", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name in ("covid-ct", "sars-cov-2-ct", "ct-phantom", "xdnn", "densenet"):
        assert name in done.stdout


def test_the_datasets_package_of_others_is_left_alone(python: Path, tmp_path: Path) -> None:
    code = "import datasets, harness, baselines; print(datasets.owner)"
    assert run(python, "-c", code, cwd=tmp_path).stdout.strip() == "somebody else"


def test_the_installed_wheel_runs_the_phantom_to_a_board(python: Path, tmp_path: Path) -> None:
    arguments = ["run", "-d", "ct-phantom", "-m", "decision-tree", "--recipe", "smoke", "-o", "boards"]
    done = run(
        python,
        "-m",
        "harness",
        *arguments,
        cwd=tmp_path,
        HARNESS_CACHE=str(tmp_path / "cache"),
        TORCH_HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert "decision-tree" in (tmp_path / "boards" / "ct-phantom" / "official.md").read_text()
