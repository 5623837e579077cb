"""Arguments that no command can mean."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


def said(tmp_path: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", [("score", "runs"), ("report",), ("run", "--all")])
def test_an_empty_output_is_a_variable_that_is_not_set_and_nothing_is_written(tmp_path, command):
    code, text = said(tmp_path, *command, "-o", "")
    assert (code, text.count("\n")) == (2, 1)
    assert "the argument after '-o' is empty" in text
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_runs_that_is_not_there_is_no_verdict(tmp_path):
    code, text = said(tmp_path, "verify", "soares2020", "--runs", "nowhere")
    assert code == 2
    assert text == "error: --runs 'nowhere': there is no such folder\n"
