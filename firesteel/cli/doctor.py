"""`firesteel doctor`: checks the Spark installation or a file of rows for common problems, and suggests remedies.

The checks are in `diagnosis.py`.  Spark is started once, for one small job, unless a check has already failed; rows
are checked without Spark.
"""

from collections.abc import Iterator
from dataclasses import asdict

from rich.console import Console

from firesteel.cli.common import Flags, Json, flags, print_json, session_of
from firesteel.cli.config import EngineSettings, resolve
from firesteel.cli.diagnosis import Diagnosis, before_spark, of_file, of_session
from firesteel.cli.progress import is_live
from firesteel.cli.rows import Ask, ask
from firesteel.errors import FiresteelError, without_secrets


def doctor(
    *,
    data: str | None = None,
    format: str | None = None,
    label: str | None = None,
    features: str | None = None,
    ignore_cols: str | None = None,
    column_kinds: str | None = None,
    time_zone: str | None = None,
    master: str | None = None,
    as_json: Json = False,
) -> int:
    """Check whether Spark runs well here, or whether a file of rows can be trained on.

    The exit code is 4 if Spark cannot run, and 3 if the rows cannot be trained on.

    Args:
        data: A data set or a file of rows to check.  Spark is then checked only if --master is given.
        format: File format if the extension does not show it.
        label: Column of labels (default: label, if it exists).  For IDX, .npy and text, the file with the labels.
        features: Columns to check, separated by commas (default: all other columns).
        ignore_cols: Columns to ignore, separated by commas.
        column_kinds: Numeric columns that are categories, such as zip=category,shop=category.
        time_zone: Time zone of the hours and days of timestamps, such as Europe/Zurich (default: UTC).
        master: Spark master to check (default: local[2]).
        as_json: Print each finding as a line of JSON.
    """
    given = {"data": data, "format": format, "label": label, "features": features}
    given |= {"ignore_cols": ignore_cols, "column_kinds": column_kinds, "time_zone": time_zone}
    wanted = None if data is None else _asked(flags(**given))
    console = Console(highlight=False, soft_wrap=True)
    code = 0
    for finding in of_file(wanted) if wanted is not None else ():
        code = 3 if finding.stops else code
        _show(finding, console, as_json)
    for finding in _all(console, master or "local[2]", as_json) if wanted is None or master else ():
        code = 4 if finding.stops else code
        _show(finding, console, as_json)
    return code


def _asked(given: Flags) -> Ask:
    """Return which rows to read from the options; labels are required only if an option names them."""
    data = resolve(None, given, {}).data
    return ask(data, labelled=data.label is not None)


def _all(console: Console, master: str, as_json: bool) -> Iterator[Diagnosis]:
    stopped = False
    for finding in before_spark():
        stopped |= finding.stops
        yield finding
    if stopped:
        yield Diagnosis("no Spark job was run", "fix the problems above and run doctor again")
        return
    try:
        quiet = as_json or not is_live(console)
        with session_of(EngineSettings("spark", master), Console(stderr=True), quiet, silent=False) as spark:
            from firesteel.spark.probe import probe

            assert spark is not None
            found = probe(spark)
        yield from of_session(found)
    except FiresteelError as error:
        what = " ".join(str(error).removesuffix(f" [{error.code}]").split())
        yield Diagnosis(f"a small Spark job failed: {what}", "fix this and run doctor again", stops=True)


def _show(finding: Diagnosis, console: Console, as_json: bool) -> None:
    finding = Diagnosis(**without_secrets(asdict(finding)))
    if as_json:
        print_json(asdict(finding))
        return
    mark, style = ("stop", "bold red") if finding.stops else ("warn", "yellow")
    if finding.todo is None:
        mark, style = "ok", "green"
    console.print(f"[{style}]{mark:<6}[/]", end="")
    console.print(finding.what, markup=False)
    if finding.todo is not None:
        console.print(f"      to do: {finding.todo}", markup=False)
