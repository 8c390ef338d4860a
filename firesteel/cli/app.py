"""The command-line application: its commands, and the errors for unknown commands and options.

Options and help come from the signatures and docstrings of the commands.  Next: `train.py` and its siblings.
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
    help="Train neural networks on plain arrays or on Spark, with bit-identical weights.",
    default_parameter=Parameter(negative=()),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
    exit_on_error=False,
    error_formatter=lambda error: CycloptsPanel(without_secrets(str(error))),
)
for command in (data, demo, doctor, evaluate, inspect, predict, report, train):
    app.command(command)


def run(argv: list[str]) -> int:
    """Parse a command line and run the command; return its exit code, or 2 if the command line is invalid."""
    try:
        return app(argv) or 0
    except CycloptsError:
        return 2
