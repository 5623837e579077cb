"""What an explanation of a finished run says, as data: rules, and decisions with the prototypes behind them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["SCHEMA_VERSION", "ClassRule", "Decision", "Explained", "Prototype", "Winner", "as_json"]

SCHEMA_VERSION = 1

NAMED_PROTOTYPES = 5
"""How many prototypes the text of a rule names; a class may have thousands."""


@dataclass(frozen=True)
class Prototype:
    """A training image that stands for `support` of them; `row` is its row in the dataset."""

    id: str
    row: int
    support: int


@dataclass(frozen=True)
class ClassRule:
    """IF image ~ p1 OR image ~ p2 ... THEN class (Soares et al., 2020, Eq. 7); the largest supports first.

    >>> print(ClassRule("COVID", (Prototype("b.png", 1, 3), Prototype("a.png", 0, 1))).text())
    IF (image ~ b.png, support 3) OR (image ~ a.png, support 1) THEN COVID
    """

    name: str
    prototypes: tuple[Prototype, ...]

    @property
    def support(self) -> int:
        """Return how many training images the prototypes stand for together."""
        return sum(prototype.support for prototype in self.prototypes)

    def text(self, named: int = NAMED_PROTOTYPES) -> str:
        """Return the rule in one line that names so many prototypes."""
        terms = [f"(image ~ {p.id}, support {p.support})" for p in self.prototypes[:named]]
        if len(self.prototypes) > named:
            terms.append(f"({len(self.prototypes) - named} more)")
        return f"IF {' OR '.join(terms) or 'nothing seen yet'} THEN {self.name}"


@dataclass(frozen=True)
class Winner:
    """The prototype of the class `name` that is most similar to a query; similarity in (0, 1]."""

    name: str
    prototype: Prototype
    similarity: float

    @property
    def words(self) -> str:
        """Return the similarity for a reader.

        >>> Winner("COVID", Prototype("a.png", 0, 1), 0.92).words
        'similarity 0.9200'
        """
        number = f"{self.similarity:.4f}" if self.similarity >= 0.001 else f"{self.similarity:.1e}"
        return f"similarity {number}"


@dataclass(frozen=True)
class Decision:
    """A test image, what it is, what it was called with which probability, and the winner of each class."""

    id: str
    row: int
    true: str
    predicted: str
    probability: float
    winners: tuple[Winner, ...]
    """In the order of the classes; a class without prototypes has none."""

    @property
    def is_right(self) -> bool:
        return self.true == self.predicted

    @property
    def words(self) -> str:
        """Return the decision as a sentence.

        >>> Decision("a.png", 0, "COVID", "normal", 0.75, ()).words
        'is COVID, but was called normal (probability 0.750)'
        """
        said = f"is {self.true} and was" if self.is_right else f"is {self.true}, but was"
        return f"{said} called {self.predicted} (probability {self.probability:.3f})"


@dataclass(frozen=True)
class Explained:
    """A finished run with its rules and some of its decisions. `fitted`, `tested` and `wrong` count images."""

    key: str
    dataset: str
    title: str
    licence: str
    protocol: str
    fold: int
    folds: int
    label: str
    variant: str | None
    recipe: str
    seed: int
    classes: tuple[str, ...]
    fitted: int
    tested: int
    wrong: int
    rules: tuple[ClassRule, ...]
    decisions: tuple[Decision, ...]

    @property
    def method(self) -> str:
        return self.label if self.variant is None else f"{self.label} ({self.variant})"

    @property
    def setting(self) -> str:
        """Return under what the model ran, for a reader."""
        fold = f", fold {self.fold} of {self.folds} (counted from 0)" if self.folds > 1 else ""
        return f"protocol {self.protocol}, recipe {self.recipe}, seed {self.seed}{fold}"

    @property
    def summary(self) -> str:
        """Return the counts as a sentence."""
        prototypes = sum(len(rule.prototypes) for rule in self.rules)
        return (
            f"{prototypes} prototypes of {self.fitted} training images; "
            f"{self.wrong} of {self.tested} test images called wrongly"
        )


def as_json(found: Explained) -> dict[str, Any]:
    """Return all of it for a machine: ids, rows of the dataset, supports, similarities and probabilities."""
    return {"schema_version": SCHEMA_VERSION, **asdict(found)}
