from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from harness import sources
from harness.errors import PluginBroken


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model package of two modules and a neighbour in the same source tree."""
    files = {
        "plugin/__init__.py": "",
        "plugin/model.py": """
            from plugin.layers import width
            def build():
                from . import late
                return width + late.depth
            """,
        "plugin/layers.py": "width = 3\n",
        "plugin/late.py": "depth = 1\n",
        "plugin/unrelated.py": "x = 1\n",
        "neighbour/__init__.py": "y = 1\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in [n for n in sys.modules if n.partition(".")[0] in ("plugin", "neighbour")]:
        del sys.modules[name]


def digest() -> str:
    sources._path_of.cache_clear()
    return sources.code_digest("plugin.model")


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("plugin/model.py", "from plugin.layers import width\ndef build(): return width\n"),
        ("plugin/layers.py", "width = 4\n"),
        ("plugin/late.py", "depth = 2\n"),
    ],
)
def test_a_change_of_code_changes_the_digest(package: Path, file: str, text: str) -> None:
    before = digest()
    (package / file).write_text(text)
    assert digest() != before


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("plugin/layers.py", "# wide enough\nwidth   =   3\n"),
        ("plugin/layers.py", '"""What it is."""\nwidth = 3\n'),
        ("plugin/unrelated.py", "x = 2\n"),
    ],
)
def test_comments_docstrings_and_unrelated_modules_do_not(package: Path, file: str, text: str) -> None:
    before = digest()
    (package / file).write_text(text)
    assert digest() == before


def test_a_neighbour_that_is_imported_counts(package: Path) -> None:
    (package / "plugin/layers.py").write_text("from neighbour import y\nwidth = 3\n")
    before = digest()
    (package / "neighbour/__init__.py").write_text("y = 2\n")
    assert digest() != before


def test_a_module_without_source_is_refused() -> None:
    with pytest.raises(PluginBroken, match="no source file found"):
        sources.code_digest("no_such_module_at_all")


def test_source_that_does_not_parse_is_named(package: Path) -> None:
    (package / "plugin/layers.py").write_text("width = (\n")
    with pytest.raises(PluginBroken, match=r"'layers\.py' cannot be parsed"):
        digest()


def test_every_engine_module_exists() -> None:
    assert all(sources._path_of(name) for name in sources.ENGINE)


HARMLESS = {
    "harness.counters",  # counts
    "harness.data.cards",  # what a card says is in the dataset's content
    "harness.data.dataset",  # likewise
    "harness.data.joined",  # likewise, with the words for its classes
    "harness.complaints",  # words of messages
    "harness.download",  # what it brings is known by its digest
    "harness.errors",
    "harness.folders",
    "harness.machine",  # its versions are in the key
    "harness.records",  # written after the numbers
    "harness.registry",  # which model it finds is in the key
    "harness.sources",
}


def test_whatever_the_engine_imports_is_of_the_engine_or_known_to_change_no_number() -> None:
    imported = {
        name
        for module in sources.ENGINE
        for name in sources._facts(module, sources._path_of(module)).imports
        if name.startswith("harness.") and sources._path_of(name) is not None
    }
    assert imported - set(sources.ENGINE) - {"harness.data"} == HARMLESS
