"""`firesteel doctor`: every trap that newcomers step into, looked for here and now, with what to do about it.

The checks are in `diagnosis.py`; Spark is started once, for one small job, and only if nothing speaks against it, and
never to look at rows.
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
    """Look for what keeps Spark from running here, or makes it run badly, or for what is wrong with rows.

    The exit code is 4 where Spark cannot run, and 3 where rows cannot be trained on.

    Parameters
    ----------
    data
        A set or a file of rows to look at; Spark is not started for it, unless --master names one to try as well.
    format
        The format of the rows, where the ending of the file does not say it.
    label
        Their column of labels ("label" if there is one); for IDX, .npy and text the file of the labels.
    features
        Columns to look at, with commas between; all others if not given.
    ignore_cols
        Columns that are not looked at, with commas between.
    column_kinds
        Columns of numbers that are names, such as zip=category,shop=category.
    time_zone
        Where moments have their hours and days, such as Europe/Zurich (UTC).
    master
        Spark master to try (local[2]).
    as_json
        Print a line of JSON for each finding.
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
    """Return the rows that options name, with labels only where these are named."""
    data = resolve(None, given, {}).data
    return ask(data, labelled=data.label is not None)


def _all(console: Console, master: str, as_json: bool) -> Iterator[Diagnosis]:
    stopped = False
    for finding in before_spark():
        stopped |= finding.stops
        yield finding
    if stopped:
        yield Diagnosis("no Spark job was tried", "put right what stops it, and run this again")
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
        yield Diagnosis(f"a small Spark job did not run: {what}", "put that right, and run this again", stops=True)


def _show(finding: Diagnosis, console: Console, as_json: bool) -> None:
    finding = Diagnosis(**without_secrets(asdict(finding)))
    if as_json:
        print_json(asdict(finding))
        return
    mark, style = ("stop", "bold red") if finding.stops else ("mind", "yellow")
    if finding.todo is None:
        mark, style = "ok", "green"
    console.print(f"[{style}]{mark:<6}[/]", end="")
    console.print(finding.what, markup=False)
    if finding.todo is not None:
        console.print(f"      to do: {finding.todo}", markup=False)
