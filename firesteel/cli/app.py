"""The command line's shape: which commands there are, and how a mistyped one is refused.

Options and their help are the signatures and docstrings of the commands themselves.  Next: `train.py`, and the
others in this folder.
"""

from cyclopts import App, CycloptsError, CycloptsPanel, Parameter

from firesteel import __version__
from firesteel.cli.data import data
from firesteel.cli.doctor import doctor
from firesteel.cli.train import demo, train
from firesteel.cli.using import evaluate, inspect, predict, report
from firesteel.errors import without_secrets

app = App(
    name="firesteel",
    version=f"firesteel {__version__}",
    help="Neural networks on plain arrays and on Spark, with the same weights to the last bit.",
    default_parameter=Parameter(negative=()),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    exit_on_error=False,
    error_formatter=lambda error: CycloptsPanel(without_secrets(str(error))),
)
for command in (data, demo, doctor, evaluate, inspect, predict, report, train):
    app.command(command)


def run(argv: list[str]) -> int:
    """Run a command and return its exit code; 2, after an explanation, where there is no such one."""
    try:
        return app(argv) or 0
    except CycloptsError:
        return 2
