"""Printing that never raises: a missing, closed or ASCII-only stdout gets whatever it can take.

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
    r"""Return a text in ASCII: box-drawing characters become signs, other characters escapes.

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
