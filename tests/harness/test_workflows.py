"""The workflow files that downstream repositories copy, and the words of docs/gate.md: what they say must be there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from harness.cli import app, gate

DOCS = Path(__file__).parents[2] / "docs"
CALLS = {"harness-gate.yml": ["run", "gate"], "harness-bench.yml": ["check", "bench"]}
"""The commands that each workflow calls, in its order."""


def workflow(name: str) -> dict[Any, Any]:
    return yaml.safe_load((DOCS / "ci" / name).read_text("utf-8"))


def steps(of: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in of["jobs"].values() for step in job["steps"]]


def test_every_workflow_is_looked_at() -> None:
    assert {path.name for path in (DOCS / "ci").iterdir()} == set(CALLS)


@pytest.mark.parametrize("name", CALLS)
class TestEach:
    def test_it_is_a_workflow_of_pull_requests_that_may_only_read(self, name: str) -> None:
        found = workflow(name)
        assert "pull_request" in found[True]  # YAML 1.1 reads the key `on` as a truth value
        assert found["permissions"] == {"contents": "read"}
        for job in found["jobs"].values():
            assert job["runs-on"]
            assert job["timeout-minutes"] <= 30

    def test_each_step_runs_or_uses_and_every_action_has_a_major_version(self, name: str) -> None:
        for step in steps(workflow(name)):
            assert ("run" in step) != ("uses" in step), step
            if "uses" in step:
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])

    def test_its_commands_and_their_options_exist(self, name: str) -> None:
        known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
        runs = [step["run"].split() for step in steps(workflow(name)) if "run" in step]
        called = [words for words in runs if words[0] == "harness"]
        assert [words[1] for words in called] == CALLS[name]
        for words in called:
            options = {option for parameter in known[words[1]].params for option in parameter.opts}
            assert {word for word in words if word.startswith("--")} <= options


class TestBench:
    def test_the_commit_to_compare_with_is_fetched(self) -> None:
        checkout = workflow("harness-bench.yml")["jobs"]["timed"]["steps"][0]
        assert checkout["with"]["fetch-depth"] == 0


class TestGate:
    def test_the_board_comes_from_the_branch_that_is_merged_into_and_not_from_the_change(self) -> None:
        all_steps = steps(workflow("harness-gate.yml"))
        checkouts = [step for step in all_steps if step.get("uses", "").startswith("actions/checkout")]
        base = checkouts[1]["with"]
        assert base["ref"].startswith("${{ github.base_ref")
        (compared,) = [step["run"].split() for step in all_steps if "harness gate" in step.get("run", "")]
        stored, new = Path(compared[compared.index("--base") + 1]), compared[2]
        assert stored.parts[0] == base["path"]
        assert new != base["path"]

    def test_a_gate_that_failed_is_uploaded_too(self) -> None:
        assert steps(workflow("harness-gate.yml"))[-1]["if"] == "always()"

    def test_the_help_and_the_documentation_name_the_same_exit_codes(self) -> None:
        said = dict(re.findall(r"^  (\d)  (.*)$", gate.EPILOG, re.MULTILINE))
        page = (DOCS / "gate.md").read_text("utf-8")
        told = re.findall(r"^\| (\d) \|", page, re.MULTILINE)
        assert sorted(said) == told == ["0", "1", "2", "3", "5"]
