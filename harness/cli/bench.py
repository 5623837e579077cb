"""`harness bench`: how long things take, and whether another commit took as long."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from harness.errors import DataError, HarnessError, NothingMeasured, UsageError

if TYPE_CHECKING:
    from harness.bench.racing import Race
    from harness.bench.sides import Tree

EPILOG = """\b
Examples:
  harness bench
  harness bench --against HEAD~1
  harness bench --against origin/main --suite benchmarks/speed.py --json speed.json
  harness bench --against v0.1.0 -w xdnn-fit,scorer --rounds 60 --fail-above 1.15

A suite is a Python file; each function bench_NAME in it prepares a workload and returns the function to
be timed, or that and the number of images a call handles. It may import anything of both commits.
"""


class Interrupted(HarnessError):
    """Ctrl-C, after everything was put away."""

    exit_code = 130


def add_to(app: typer.Typer) -> None:
    app.command("bench", epilog=EPILOG)(bench)


def bench(
    against: Annotated[
        str | None,
        typer.Option(metavar="REF", help="Compare with this commit, branch or tag [default: time alone]."),
    ] = None,
    suite: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Python file of workloads [default: the harness's own]."),
    ] = None,
    workload: Annotated[
        list[str] | None, typer.Option("-w", "--workload", help="Only these workloads [default: all].")
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often each is timed on each side.")] = 20,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write everything measured to FILE too.")
    ] = None,
    fail_above: Annotated[
        float | None,
        typer.Option(metavar="RATIO", help="Exit with 1 when a whole interval lies above it, say 1.15."),
    ] = None,
    list_only: Annotated[bool, typer.Option("--list", help="Print the workloads and stop.")] = False,
) -> None:
    """Time workloads of this working tree; with --against, those of another commit in turn with them.

    The other commit's files run in this Python with the packages installed here; only the repository's own
    packages are that commit's. It informs: the exit code is 0 unless a workload fails here, or --fail-above says so.
    """
    from harness.bench.racing import raced, workloads_of
    from harness.cli import options
    from harness.cli.live import Live

    _check(against, rounds, fail_above)
    path = _suite(suite)
    with ExitStack() as stack:
        ours, other, note = _trees(against, stack)
        found = _chosen(workloads_of(ours, path), options.names(workload))
        if list_only:
            for name, about in found.items():
                typer.echo(f"{name}: {about}" if about else name)
            return
        typer.echo(note, err=True)
        try:
            with Live() as live:
                races = raced(found, ours, other, path, rounds, live.stage)
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing is left of the other commit") from None
    _publish(races, note, json_file, paired=other is not None)
    raise typer.Exit(_exit_code(races, fail_above, paired=other is not None))


def _check(against: str | None, rounds: int, fail_above: float | None) -> None:
    from harness.bench.racing import LEAST_ROUNDS

    if rounds < 1:
        raise UsageError(f"--rounds {rounds}: expected at least 1")
    if fail_above is not None and against is None:
        raise UsageError("--fail-above needs --against: alone there is no ratio")
    if fail_above is not None and not fail_above > 1:
        raise UsageError(f"--fail-above {fail_above:g}: expected a ratio above 1, such as 1.15")
    if fail_above is not None and rounds < LEAST_ROUNDS:
        raise UsageError(f"--fail-above needs at least {LEAST_ROUNDS} --rounds for an interval")


def _suite(path: Path | None) -> Path:
    if path is None:
        from harness.bench import worker

        return Path(worker.__file__).with_name("default_suite.py")
    if not path.is_file():
        raise UsageError(f"there is no suite at {str(path)!r}; --suite takes a Python file")
    return path.resolve()


def _trees(against: str | None, stack: ExitStack) -> tuple[Tree, Tree | None, str]:
    """Return our tree, the other one, and what is said of them."""
    from harness.bench.commits import is_dirty, repository_of, resolved, written_out
    from harness.bench.sides import Tree

    if against is None:
        return Tree("this folder", Path.cwd()), None, "timing what is imported from this folder"
    repository = repository_of(Path.cwd())
    commit = resolved(repository, against)
    other = Tree(f"{against} ({commit[:10]})", stack.enter_context(written_out(repository, commit)))
    dirty = ", with changes that are not committed" if is_dirty(repository) else ""
    return Tree("the working tree", repository), other, f"comparing the working tree{dirty} with {other.name}"


def _chosen(found: dict[str, str], names: tuple[str, ...]) -> dict[str, str]:
    from harness.errors import UnknownName

    for name in names:
        if name not in found:
            raise UnknownName("workload", name, found)
    return {name: about for name, about in found.items() if not names or name in names}


def _publish(races: list[Race], note: str, json_file: Path | None, *, paired: bool) -> None:
    import json

    from harness.bench.report import as_json, as_markdown, as_table

    typer.echo(as_table(races, paired=paired))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with (
            _writing(Path(summary), "GITHUB_STEP_SUMMARY"),
            Path(summary).open("a", encoding="utf-8") as file,
        ):
            file.write(as_markdown(races, f"harness bench: {note}", paired=paired))
    if json_file is not None:
        text = json.dumps(as_json(races, note=note), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        with _writing(json_file, "--json"):
            json_file.write_text(text, "utf-8")


@contextmanager
def _writing(path: Path, how: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"cannot write {str(path)!r}: {error.strerror}; name another file with {how}"
        ) from error


def _exit_code(races: list[Race], fail_above: float | None, *, paired: bool) -> int:
    """Return 1 when a workload is surely above the limit.

    Raises `NothingMeasured` for a workload that fails here, and where none ran on both commits.
    """
    failed = [race for race in races if race.failure is not None]
    if failed:
        raise NothingMeasured(f"workload {failed[0].name!r} {failed[0].verdict}")
    if paired and all(race.bounds is None for race in races):
        raise NothingMeasured("no workload ran on both commits: nothing was compared")
    above = [race for race in races if fail_above and race.bounds and race.bounds[0] > fail_above]
    return 1 if above else 0
