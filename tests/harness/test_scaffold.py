"""The package that `harness new-model` writes."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError, UsageError
from harness.scaffold import new_model
from harness.testing import check_model


def imported(folder: Path, module: str):
    spec = importlib.util.spec_from_file_location(module, folder / "src" / module / "__init__.py")
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def test_the_written_model_keeps_the_contract(tmp_path):
    new_model("my-net-2", tmp_path / "package")
    check_model(imported(tmp_path / "package", "my_net_2").MyNet2, n_classes=(2, 3, 4))


def test_returns_the_files_it_wrote_and_nothing_else_is_there(tmp_path):
    target = tmp_path / "deep" / "package"
    written = new_model("my-net", target)
    assert sorted(written) == sorted(path for path in target.rglob("*") if path.is_file())
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["package"]


def test_the_model_is_under_20_lines_of_code(tmp_path):
    new_model("my-net", tmp_path / "package")
    source = (tmp_path / "package" / "src" / "my_net" / "__init__.py").read_text()
    code = source.split("class MyNet")[1].splitlines()
    assert 5 < len([line for line in code if line.strip() and '"""' not in line]) < 20


def test_every_placeholder_is_filled(tmp_path):
    for path in new_model("my-net", tmp_path / "package"):
        text = path.read_text()
        assert text.strip()
        assert not any(word in text or word in str(path) for word in ("NAME", "MODULE", "MODEL"))


def test_the_readme_has_the_three_commands(tmp_path):
    new_model("my-net", tmp_path / "package")
    commands = [
        line.strip()
        for line in (tmp_path / "package" / "README.md").read_text().splitlines()
        if line.startswith("    ")
    ]
    assert commands == [
        "pip install -e '.[test]' && pytest",
        "harness check my-net",
        "harness run -d ct-phantom -m my-net,svm",
    ]


@pytest.mark.parametrize(
    "name",
    [
        "",
        "My-Net",
        "my_net",
        "2net",
        "my--net",
        "my-net-",
        "-my-net",
        "../my-net",
        "my net",
        "näh",
        "my-net\n",
    ],
)
def test_a_name_that_is_not_kebab_case_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="lower-case words joined by hyphens"):
        new_model(name, tmp_path / "package")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("svm", "an installed model bears it"),
        ("class", "a word of the Python language"),
        ("none", "a word of the Python language"),
        ("json", "an installed package is called so"),
        ("harness", "an installed package is called so"),
        ("ct-harness", "an installed package is called so"),
        ("scikit-learn", "an installed package is called so"),
    ],
)
def test_a_name_that_is_taken_is_refused(name, why, tmp_path):
    with pytest.raises(UsageError, match=why):
        new_model(name, tmp_path / "package")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_nothing_that_exists_is_overwritten(kind, tmp_path):
    target = tmp_path / "package"
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    else:
        target.symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="is there already"):
        new_model("my-net", target)
    assert [path.name for path in tmp_path.iterdir()] == ["package"]


def test_a_folder_below_a_file_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HarnessError, match="cannot write a package to") as caught:
        new_model("my-net", tmp_path / "file" / "package")
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(self, *args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(HarnessError, match="No space left on device"):
        new_model("my-net", tmp_path / "package")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_package_installs_and_the_harness_finds_and_checks_it(tmp_path):
    new_model("my-net", tmp_path / "package")
    site = tmp_path / "site"
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--target",
        site,
        tmp_path / "package",
    ]
    subprocess.run(install, check=True, cwd=tmp_path)
    script = (
        "from harness.registry import find_model; from harness.testing import check_model; "
        "plugin = find_model('my-net'); print(plugin.distribution, plugin.location); check_model(plugin.load())"
    )
    paths = [str(site), str(Path(importlib.util.find_spec("harness").origin).parent.parent)]
    shown = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert shown.stdout.strip() == "my-net 0.1.0 my_net:MyNet"
