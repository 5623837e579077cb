"""The workflow file that downstream repositories copy: what it says must be there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from harness.cli import app

WORKFLOW = Path(__file__).parents[2] / "docs" / "ci" / "harness-bench.yml"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return yaml.safe_load(WORKFLOW.read_text("utf-8"))


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
    assert {words[1] for words in called} == {"check", "bench"}
    for words in called:
        options = {option for parameter in known[words[1]].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options


def test_the_commit_to_compare_with_is_fetched(workflow: dict[Any, Any]) -> None:
    checkout = workflow["jobs"]["timed"]["steps"][0]
    assert checkout["with"]["fetch-depth"] == 0
