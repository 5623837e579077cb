"""What is wrong with a document, in plain words: a validator's findings as this package says them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["complaints", "expectation"]

KINDS = {
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "finite_number": "a finite number",
    "string": "text",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "dict": "named entries",
    "mapping": "named entries",
    "model": "named entries",
    "none_required": "nothing",
    "timezone": "a time with its time zone",
    "datetime": "a date and time such as 2026-01-31T12:00:00Z",
    "date": "a date such as 2026-01-31",
    "path": "a path",
    "url": "a web address",
}
"""What was expected, by how the validator's kind of fault begins; the longest that fits."""

BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text of the form {pattern}",
    "too_short": "at least {min_length} entries",
    "too_long": "at most {max_length} entries",
}


def complaints(error: ValidationError, known: Iterable[str] = ()) -> Iterator[str]:
    """Yield what is wrong with a document, a line each: where, and its `expectation`."""
    for fault in error.errors(include_url=False):
        place = ".".join(str(part) for part in fault["loc"]) or "file"
        yield " ".join(f"{place}: {expectation(fault, known)}".split())


def expectation(fault: ErrorDetails, known: Iterable[str] = ()) -> str:
    """Return what was expected and what was there instead: "expected a whole number, got 'x'".

    What a check of ours found is said in its own words. `known` are the names that entries may have.
    """
    kind, context = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return "is not there"
    if kind == "extra_forbidden":
        close = difflib.get_close_matches(str(fault["loc"][-1]), sorted(known), n=1)
        hint = f"you probably meant {close[0]!r}" if close else "correct its name or remove it"
        return f"is no entry that is known here; {hint}"
    if kind == "json_invalid":
        return f"is no JSON: {context.get('error', fault['msg'])}"
    if kind == "value_error":
        return str(context.get("error", fault["msg"])).removeprefix("Value error, ")
    return f"expected {_expected(kind, context, fault['msg'])}, got {str(fault['input'])[:60]!r}"


def _expected(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in BOUNDS:
        return BOUNDS[kind].format(**context)
    fitting = [name for name in KINDS if kind.startswith(name)]
    return KINDS[max(fitting, key=len)] if fitting else message.removeprefix("Input should be ")
