"""The exceptions of the harness.

    HarnessError                  exit code 1: something the user can mend; printed as one line
    ├── UsageError                exit code 2: the command line does not make sense
    │   └── UnknownName           a name that nothing answers to; carries close names
    ├── DataError                 a dataset that cannot be used as it is
    │   ├── CardError             a card that says something impossible
    │   ├── DatasetMissing        its files were not found anywhere
    │   ├── BadImage              a file that is not a usable image
    │   └── SplitError            parts that overlap, are empty or lack a class
    ├── FetchError                a download that did not complete
    │   ├── NoNetwork             nothing can be reached
    │   ├── Refused               a server that says no (harness.download)
    │   └── DamagedArchive        an archive that cannot be unpacked safely (harness.unpacking)
    ├── ModelError                a plugin that does not keep the contract
    │   ├── PluginBroken          a plugin that cannot be imported
    │   └── PredictionError       probabilities that are none
    ├── WeightsUnavailable        pretrained weights that cannot be had
    ├── StageError                a first stage that cannot be used
    ├── NothingMeasured           a function whose time says nothing: it did no work, or not the same
    ├── NothingToCompare          exit code 5: a gate without a model on both sides (harness.gate)
    ├── RecordError               a record that is damaged or cannot be written
    │   └── Faulty                several of them, one line for each (harness.scoring)
    ├── StudyDamaged              a journal of tuning trials that is none
    ├── SealedPart                the test part, asked for while tuning
    ├── ProtocolSkipped           a protocol that has no meaning for a dataset (not a failure)
    └── TrialPruned               a tuning trial that was stopped early (not a failure)

Anything else that is raised is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BadImage",
    "CardError",
    "DataError",
    "DatasetMissing",
    "FetchError",
    "HarnessError",
    "ModelError",
    "NoNetwork",
    "NothingMeasured",
    "PluginBroken",
    "PredictionError",
    "ProtocolSkipped",
    "RecordError",
    "SealedPart",
    "SplitError",
    "StageError",
    "StudyDamaged",
    "TrialPruned",
    "UnknownName",
    "UsageError",
    "WeightsUnavailable",
]


class HarnessError(Exception):
    """Base of every error that a user can mend. `str()` of it is one line."""

    exit_code = 1


class UsageError(HarnessError):
    exit_code = 2


class UnknownName(UsageError):
    """A name that nothing answers to.

    >>> str(UnknownName("model", "resnt", ["resnet", "svm"]))
    "unknown model 'resnt'; you probably meant 'resnet'"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        by_letters = {one.casefold(): one for one in known}  # 'COVID' is close to 'covid'
        close = [by_letters[one] for one in difflib.get_close_matches(name.casefold(), by_letters, n=2)]
        if close:
            hint = "you probably meant " + " or ".join(repr(c) for c in close)
        else:
            hint = "known: " + (", ".join(known) or "none")
        super().__init__(f"unknown {kind} {name!r}; {hint}")
        self.name = name
        self.close = close


class DataError(HarnessError):
    pass


class CardError(DataError):
    pass


class DatasetMissing(DataError):
    pass


class BadImage(DataError):
    pass


class SplitError(DataError):
    pass


class FetchError(HarnessError):
    pass


class NoNetwork(FetchError):
    pass


class ModelError(HarnessError):
    pass


class PluginBroken(ModelError):
    pass


class PredictionError(ModelError):
    pass


class WeightsUnavailable(HarnessError):
    pass


class StageError(HarnessError):
    pass


class NothingMeasured(HarnessError):
    pass


class RecordError(HarnessError):
    pass


class StudyDamaged(HarnessError):
    pass


class SealedPart(HarnessError):
    pass


class ProtocolSkipped(HarnessError):
    pass


class TrialPruned(HarnessError):
    pass
