from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.errors import RecordError
from harness.records import Predictions, finished, read_record, read_records, write_record

MANIFEST = {"status": "complete", "dataset": {"name": "toy"}}


def predictions(n: int = 3) -> Predictions:
    p = np.linspace(0.1, 0.9, n)
    return Predictions(
        ids=[f"{i}.png" for i in range(n)],
        labels=["b"] * n,
        groups=[None] * n,
        classes=["a", "b"],
        probabilities=np.stack([1 - p, p], axis=1),
    )


def leftovers(runs: Path) -> list[str]:
    return [p.name for p in runs.iterdir() if p.name.startswith(".")] if runs.exists() else []


def test_an_edited_predictions_file_is_noticed(tmp_path: Path) -> None:
    record = write_record(tmp_path, "k", MANIFEST, predictions())
    path = record.folder / "predictions.parquet"
    path.write_bytes(path.read_bytes() + b"\0")
    with pytest.raises(RecordError, match=r"record 'k': predictions.parquet was changed"):
        read_record(tmp_path / "k").predictions()


def test_a_damaged_manifest_is_named_and_does_not_count_as_finished(tmp_path: Path) -> None:
    record = write_record(tmp_path, "k", MANIFEST, predictions())
    (record.folder / "manifest.json").write_text("{")
    assert not finished(tmp_path, "k")
    with pytest.raises(RecordError, match="'k'.*damaged.*delete the folder"):
        read_records(tmp_path)


def test_a_record_under_another_key_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path, "k", MANIFEST, predictions())
    (tmp_path / "k").rename(tmp_path / "other")
    with pytest.raises(RecordError, match="says key 'k'"):
        read_record(tmp_path / "other")


def test_a_record_of_another_schema_is_refused(tmp_path: Path) -> None:
    record = write_record(tmp_path, "k", MANIFEST, predictions())
    text = json.loads((record.folder / "manifest.json").read_text()) | {"schema_version": 99}
    (record.folder / "manifest.json").write_text(json.dumps(text))
    with pytest.raises(RecordError, match="schema_version 99"):
        read_record(record.folder)


def test_a_record_without_its_predictions_is_not_finished(tmp_path: Path) -> None:
    record = write_record(tmp_path, "k", MANIFEST, predictions())
    (record.folder / "predictions.parquet").unlink()
    assert not finished(tmp_path, "k")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_line(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    runs.mkdir(mode=0o500)
    with pytest.raises(RecordError, match="cannot write to .*Permission denied; choose another folder"):
        write_record(runs, "k", MANIFEST, predictions())


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RecordError, match="cannot write to .*runs"):
        write_record(tmp_path / "runs", "k", MANIFEST, predictions())


def test_a_full_disk_leaves_nothing_behind_and_is_one_line(tmp_path: Path) -> None:
    """The operating system's limit on a file's size stands for the full disk: the same error, from the same call."""
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
from test_records import MANIFEST, predictions
from harness.errors import RecordError
from harness.records import write_record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
import pyarrow.parquet
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    write_record(Path({str(tmp_path)!r}), "k", MANIFEST, predictions(5000))
except RecordError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot write to" in done.stdout
    assert done.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_nan_never_reaches_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_record(tmp_path, "k", MANIFEST | {"seconds": float("nan")}, predictions())
    assert leftovers(tmp_path) == []


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_record(tmp_path, "k", MANIFEST, predictions())
    (record,) = read_records(tmp_path)
    table = record.predictions()
    assert list(table.columns) == ["id", "label", "group", "a", "b"]
    assert table["b"].tolist() == pytest.approx([0.1, 0.5, 0.9])
    assert record.complete
    assert finished(tmp_path, "k")
    assert leftovers(tmp_path) == []


def test_a_second_record_of_a_key_replaces_the_first(tmp_path: Path) -> None:
    write_record(tmp_path, "k", MANIFEST | {"status": "failed"})
    assert not finished(tmp_path, "k")
    write_record(tmp_path, "k", MANIFEST, predictions())
    assert finished(tmp_path, "k")
    assert leftovers(tmp_path) == []


def test_an_absent_folder_holds_no_records(tmp_path: Path) -> None:
    assert read_records(tmp_path / "none") == []
