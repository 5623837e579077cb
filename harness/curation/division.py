"""The parts of a new dataset: about 60/20/20, whole groups, classes as even as groups allow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import SplitError
from harness.protocols import carved
from harness.types import Sample

__all__ = ["divided"]

TEST_SHARE = 0.2
VAL_SHARE = 0.25  # of what the test part leaves


def divided(ids: Sequence[str], labels: Sequence[int], groups: Sequence[str]) -> tuple[dict[str, str], str]:
    """Return the part of each id, and why there are none where no part can be made.

    The order of SHA-256 of the groups decides, so that more papers hardly move what was there.
    """
    samples = [
        Sample(name, Path(name), label, group) for name, label, group in zip(ids, labels, groups, strict=True)
    ]
    try:
        rest, test = carved(samples, TEST_SHARE, salt="figures-test")
        train, val = carved(rest, VAL_SHARE, salt="figures-validation")
    except SplitError:
        return (
            {},
            f"{len(set(groups))} groups are too few for a train, val and test part with every class in each",
        )
    parts = {"train": train, "val": val, "test": test}
    return {sample.id: part for part, members in parts.items() for sample in members}, ""
