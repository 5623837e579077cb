from __future__ import annotations

import subprocess
import sys

import pytest

from harness.cli.options import model_parameters, names, seed_list
from harness.errors import UsageError


@pytest.mark.parametrize("text", ["", "0", "x", "-3", "3-1", "1,,x", "100000"])
def test_seeds_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds"):
        seed_list(text)


@pytest.mark.parametrize("text", ["svm", "svm.C", "C=3", ".C=3", "svm.=3", "svm.a b=3"])
def test_parameters_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="MODEL.PARAMETER=VALUE"):
        model_parameters([text])


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(UsageError, match="empty name"):
        names(["svm,,xdnn"])


def test_names_may_be_repeated_and_joined() -> None:
    assert names(["svm,xdnn", "svm", "resnet:18"]) == ("svm", "xdnn", "resnet:18")


def test_values_of_parameters_keep_their_json_type() -> None:
    assert model_parameters(["svm.C=0.5", "svm.name=rbf", "svm.flag=true"]) == {
        "svm": {"C": 0.5, "name": "rbf", "flag": True}
    }


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "--bogus"], 2, "No such option"),
        (["bogus"], 2, "No such command"),
        (["show"], 2, "Missing argument"),
        (["run", "--trials", "x"], 2, "Invalid value for '--trials'"),
        (["run"], 2, "nothing to run: say --all"),
        (["fetch"], 2, "nothing to fetch"),
        (["check", "rsenet"], 2, "you probably meant 'resnet'"),
        (["run", "-m", "timm:"], 2, "nothing follows the colon"),
        (["show", "covid-ct", "--ids", "--sheet", "x.png"], 2, "leave out --ids or --sheet"),
        (["show", "covid"], 2, "you probably meant 'covid-ct'"),
        (["board", "-o", "nowhere"], 1, "no records in 'nowhere/runs'"),
    ],
)
def test_a_wrong_command_line_is_explained_without_a_traceback(
    tmp_path: str, arguments: list[str], code: int, message: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "harness", *arguments],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
