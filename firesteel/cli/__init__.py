"""The `firesteel` command line: entry point, exit codes and error lines.

This module needs only the hard dependencies; cyclopts and rich are imported when `main` runs.  Next: `app.py`, which
lists the commands, and `train.py`.
"""

import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from importlib.util import find_spec
from typing import NoReturn

from firesteel.errors import ConfigError, DataError, FiresteelError, SparkSetupError, StoreError, without_secrets

EXIT_CODES: tuple[tuple[type[FiresteelError], int], ...] = (
    (ConfigError, 2),
    (DataError, 3),
    (StoreError, 3),
    (SparkSetupError, 4),
)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its exit code.

    Exit codes: 0 success, 1 failure, 2 usage or settings, 3 data or model file, 4 Spark or Java, 130 interrupted.

    Args:
        argv: The arguments; None is those of the process.
    """
    _occupy_standard_streams()
    if any(find_spec(name) is None for name in ("cyclopts", "rich")):
        _complain('the command line needs two optional packages: pip install "firesteel[cli]"')
        sys.exit(2)
    logging.getLogger().addHandler(logging.NullHandler())  # py4j logs a traceback when interrupted
    messages, interrupted = os.dup(2), False

    def interrupt(signum: int, frame: object) -> NoReturn:
        nonlocal interrupted
        interrupted = True
        _to_null(2)  # Spark and its workers are interrupted too and print tracebacks
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        from firesteel.cli.app import run

        code = run(sys.argv[1:] if argv is None else list(argv))
    except BaseException as error:
        if interrupted or isinstance(error, KeyboardInterrupt):
            hint = "".join(f"; {text}" for text in error.args) if isinstance(error, KeyboardInterrupt) else ""
            os.write(messages, f"firesteel: interrupted{without_secrets(hint)}\n".encode())
            code = 130
        elif isinstance(error, FiresteelError):
            _complain(str(error))
            code = next((code for kind, code in EXIT_CODES if isinstance(error, kind)), 1)
        elif isinstance(error, BrokenPipeError):  # the reader has closed the pipe: `| head -1`
            _to_null(1)
            code = 1
        elif isinstance(error, Exception):
            _complain(_unforeseen(error))
            code = 1
        else:
            raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(messages)
    sys.exit(code)


def _complain(text: str) -> None:
    print(f"firesteel: {without_secrets(' '.join(text.split()))}", file=sys.stderr)


def _unforeseen(error: Exception) -> str:
    """Describe an unexpected error in one line: the operating system's message, or the place in the code."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'the system'}: {error.strerror}"
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.filename}, line {place.lineno}): please report this bug"


def _to_null(descriptor: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def _occupy_standard_streams() -> None:
    """Open the null device for closed standard streams, so that no pipe gets their file descriptors."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
