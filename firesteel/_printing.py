"""Printing that never raises, even if stdout is missing, closed or limited to ASCII.

`_console.py` formats the text.
"""

import sys

ASCII = str.maketrans("━─┃│┏┳┓┡╇┩├┼┤└┴┘", "=-||++++++++++++")


def say(text: str, end: str = "\n") -> None:
    """Print to sys.stdout, in ASCII if it cannot encode the text.  All errors are ignored."""
    try:
        try:
            sys.stdout.write(text + end)
        except UnicodeError:
            sys.stdout.write(plain(text) + end)
        sys.stdout.flush()
    except Exception:  # sys.stdout may be any object
        pass


def plain(text: str) -> str:
    r"""Convert a text to ASCII: box-drawing characters become -, | and +, others escapes.

    >>> plain("━━─│ é")
    '==-| \\xe9'
    """
    return text.translate(ASCII).encode("ascii", "backslashreplace").decode()


def on_terminal() -> bool:
    """Return whether sys.stdout is a terminal."""
    try:
        return bool(sys.stdout.isatty())
    except Exception:  # sys.stdout may be None or any object
        return False
