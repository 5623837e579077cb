"""The workflow file that downstream repositories copy, and the words of docs/gate.md: what they say must be there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from harness.cli import app, gate

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load((DOCS / "ci" / "harness-gate.yml").read_text("utf-8"))


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_it_is_a_workflow_of_pull_requests_that_may_only_read(workflow: dict[Any, Any]) -> None:
    assert "pull_request" in workflow[True]  # YAML 1.1 reads the key `on` as a truth value
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["runs-on"]
        assert job["timeout-minutes"] <= 30


def test_each_step_runs_or_uses_and_every_action_has_a_major_version(workflow: dict[Any, Any]) -> None:
    for step in steps(workflow):
        assert ("run" in step) != ("uses" in step), step
        if "uses" in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])


def test_its_commands_and_their_options_exist(workflow: dict[Any, Any]) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    called = [step["run"].split() for step in steps(workflow) if step.get("run", "").startswith("harness ")]
    assert [words[1] for words in called] == ["run", "gate"]
    for words in called:
        options = {option for parameter in known[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_the_board_comes_from_the_branch_that_is_merged_into_and_not_from_the_change(
    workflow: dict[Any, Any],
) -> None:
    checkouts = [step for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout")]
    base = checkouts[1]["with"]
    assert base["ref"].startswith("${{ github.base_ref")
    (compared,) = [step["run"].split() for step in steps(workflow) if "harness gate" in step.get("run", "")]
    stored, new = Path(compared[compared.index("--base") + 1]), compared[2]
    assert stored.parts[0] == base["path"]
    assert new != base["path"]


def test_a_gate_that_failed_is_uploaded_too(workflow: dict[Any, Any]) -> None:
    assert steps(workflow)[-1]["if"] == "always()"


def test_the_help_and_the_documentation_name_the_same_exit_codes() -> None:
    said = dict(re.findall(r"^  (\d)  (.*)$", gate.EPILOG, re.MULTILINE))
    page = (DOCS / "gate.md").read_text("utf-8")
    told = re.findall(r"^\| (\d) \|", page, re.MULTILINE)
    assert sorted(said) == told == ["0", "1", "2", "3", "5"]
