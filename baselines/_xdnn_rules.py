"""What a fitted xDNN says about itself, as data and as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["Explanation", "Rule", "Winner"]

SHOWN_PROTOTYPES = 5
"""How many prototypes the text of a rule names; a class may have thousands."""


@dataclass(frozen=True)
class Rule:
    """IF image ~ p1 OR image ~ p2 ... THEN class (Soares et al., 2020, Eq. 7).

    `prototypes` are rows of the training set, `supports` the numbers of samples they stand for. The
    text names the prototypes of the largest support.

    >>> print(Rule("COVID", (4, 0), (1, 3)))
    IF (image ~ sample 0, support 3) OR (image ~ sample 4, support 1) THEN class 'COVID'
    >>> print(Rule("COVID", tuple(range(9)), (1,) * 9))  # doctest: +ELLIPSIS
    IF (image ~ sample 0, support 1) OR ... OR (4 more) THEN class 'COVID'
    """

    label: Any
    prototypes: tuple[int, ...]
    supports: tuple[int, ...]

    def __str__(self) -> str:
        order = sorted(range(len(self.prototypes)), key=lambda k: -self.supports[k])
        terms = [
            f"(image ~ sample {self.prototypes[k]}, support {self.supports[k]})"
            for k in order[:SHOWN_PROTOTYPES]
        ]
        if len(order) > SHOWN_PROTOTYPES:
            terms.append(f"({len(order) - SHOWN_PROTOTYPES} more)")
        return f"IF {' OR '.join(terms) or 'nothing seen yet'} THEN class {self.label!r}"


@dataclass(frozen=True)
class Winner:
    """The prototype of one class that is most similar to a query.

    `prototype` counts within the class (`prototypes_[class][prototype]`), `sample` is the row of the
    training set that founded it. `distance` is Euclidean on unit vectors in the paper variant,
    Minkowski's of p = 6 in the released one. `similarity` is 1 / (1 + distance²), in (0, 1]: the
    form of the density in Eq. 2.
    """

    label: Any
    prototype: int
    sample: int
    support: int
    distance: float
    similarity: float


@dataclass(frozen=True)
class Explanation:
    """Why a query got its label: the winner of each class that has prototypes (Soares et al., 2020, Fig. 2).

    >>> print(Explanation("a", (Winner("a", 0, 7, 3, 0.5, 0.8), Winner("b", 2, 4, 1, 1.0, 0.5))))
    class 'a': like sample 7 of 'a' (similarity 0.800), sample 4 of 'b' (similarity 0.500)
    """

    label: Any
    winners: tuple[Winner, ...]
    """Most similar first."""

    def __str__(self) -> str:
        likenesses = [
            f"sample {w.sample} of {w.label!r} (similarity {w.similarity:.3f})" for w in self.winners
        ]
        return f"class {self.label!r}: like {', '.join(likenesses)}"
