"""The structure, kept true: one direction of imports, nothing heavy before it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import baselines
import harness

PACKAGES = {"harness": Path(harness.__file__).parent, "baselines": Path(baselines.__file__).parent}

LAYERS = [
    ["harness.errors"],
    [
        "harness.types",
        "harness.folders",
        "harness.counters",
        "harness.budgets",
        "harness.complaints",
        "harness.folds",
        "harness.schemas",
    ],
    ["harness.images", "harness.machine", "harness.sources", "harness.checkpoints"],
    ["harness.registry", "harness.download", "harness.unpacking"],
    ["harness.metrics", "harness.delong", "harness.resamples", "harness.matrices"],
    ["harness.matrix_bounds"],
    ["harness.feasibility"],
    ["harness.intervals", "harness.paired"],
    ["harness.calibration", "harness.subgroups"],
    ["harness.data", "harness.catalogue", "harness.published", "harness.protocols", "harness.figures"],
    ["harness.stages", "harness.external"],
    [
        "harness.weights",
        "harness.models",
        "harness.testing",
        "harness.scaffold",
        "harness.records",
        "harness.manifests",
        "harness.fetch",
    ],
    ["harness.journals", "harness.timings", "harness.claims"],
    ["harness.typed_grids"],
    ["harness.typed_tables"],
    ["harness.verify_tables"],
    ["harness.studies"],
    ["harness.searches"],
    ["harness.verify_findings"],
    ["harness.verify_together"],
    [
        "harness.backbones",
        "harness.split_network",
        "harness.board_cells",
        "harness.board_names",
        "harness.board_trials",
        "harness.explanation_data",
    ],
    ["harness.board_draws", "harness.board_pairs", "harness.board_sides"],
    ["harness.board_reliability"],
    ["harness.store", "harness.tuning", "harness.board_rows", "harness.comparisons"],
    ["harness.explanation_html", "harness.explanation_pictures"],
    ["harness.explanation_files"],
    ["harness.boards"],
    ["harness.verdicts", "harness.transfers"],
    [
        "harness.board_tables",
        "harness.execution",
        "harness.openings",
        "harness.planning",
        "harness.tuning_pictures",
    ],
    ["harness.tuning_files", "harness.board_comparisons", "harness.reliability_tables"],
    ["harness.board_markdown", "harness.board_latex", "harness.runs", "harness.pretraining"],
    ["harness.verify_report", "harness.bench"],
    ["harness.verify_json"],
    [
        "harness.board_files",
        "harness.transfer_files",
        "harness.verdict_files",
        "harness.model_index",
        "harness.executors",
        "harness.explaining",
    ],
    ["harness.submissions", "harness.report", "harness.gate", "harness.curation"],
    ["harness.publishing", "harness.model_cards"],
    ["harness.scoring"],
    ["harness.cli", "harness.__main__"],
]
"""Lower layers first; a module imports from its own layer and those before it."""

HEAVY = (
    "torch",
    "torchvision",
    "timm",
    "sklearn",
    "scipy",
    "pandas",
    "optuna",
    "pyarrow",
    "matplotlib",
    "jinja2",
    "pymupdf",
)


def modules() -> dict[str, Path]:
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join([package, *(p for p in parts if p != "__init__")])] = path
    return found


def imported(path: Path, *, top_level_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text("utf-8"))
    nodes = tree.body if top_level_only else ast.walk(tree)
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def layer(name: str) -> int | None:
    for number, group in enumerate(LAYERS):
        if any(name == member or name.startswith(member + ".") for member in group):
            return number
    return None


def test_every_module_of_the_harness_has_a_layer() -> None:
    assert [m for m in modules() if m.startswith("harness.") and layer(m) is None] == []


@pytest.mark.parametrize("name", [m for m in modules() if m.startswith("harness.")])
def test_imports_go_in_one_direction(name: str) -> None:
    own = layer(name)
    above = [
        i
        for i in imported(modules()[name])
        if (found := layer(i)) is not None and own is not None and found > own
    ]
    assert above == []


@pytest.mark.parametrize("name", [m for m in modules() if m.startswith("harness")])
def test_the_harness_never_imports_a_baseline(name: str) -> None:
    assert [i for i in imported(modules()[name]) if i.partition(".")[0] == "baselines"] == []


@pytest.mark.parametrize("name", [m for m in modules() if m.startswith("baselines")])
def test_baselines_import_only_the_public_contract(name: str) -> None:
    public = tuple(f"harness.{n}" for n in ("types", "backbones", "images", "errors", "counters", "machine"))
    if name == "baselines.xdnn_study":
        return  # a study is a user of the harness, not a model
    asked = {i for i in imported(modules()[name]) if i.startswith("harness")}
    assert {i for i in asked if not i.startswith(public)} == set()


@pytest.mark.parametrize("name", sorted(modules()))
def test_nothing_heavy_is_imported_at_the_top_of_a_module(name: str) -> None:
    if name.startswith(("baselines.xdnn", "baselines._xdnn")):
        return  # an estimator by scikit-learn's conventions; the models import it when they fit
    heavy = {i for i in imported(modules()[name], top_level_only=True) if i.partition(".")[0] in HEAVY}
    assert heavy == set()


@pytest.mark.parametrize("arguments", ["'--help'", "'list'", "'run', '--help'"])
def test_help_and_list_import_nothing_heavy(arguments: str) -> None:
    code = f"""
import sys
sys.argv = ["harness", {arguments}]
from harness.cli import main
try:
    main()
except SystemExit as end:
    assert end.code in (0, None), end.code
print(sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"
