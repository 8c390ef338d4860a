"""What is printed, and ends nothing: a stream that is missing, narrow, closed or broken gets what it takes.

`_console.py` says how it looks.
"""

import sys

ASCII = str.maketrans("━─┃│┏┳┓┡╇┩├┼┤└┴┘", "=-||++++++++++++")


def say(text: str, end: str = "\n") -> None:
    """Print to sys.stdout, in ASCII where it has no other letters.  Whatever goes wrong is passed over."""
    try:
        try:
            sys.stdout.write(text + end)
        except UnicodeError:
            sys.stdout.write(plain(text) + end)
        sys.stdout.flush()
    except Exception:  # of any kind, for anything may have been put in its place
        pass


def plain(text: str) -> str:
    """Return a text in ASCII: lines of tables and bars as signs, other letters spelt out.

    >>> plain("━━─│ é")
    '==-| \\\\xe9'
    """
    return text.translate(ASCII).encode("ascii", "backslashreplace").decode()


def on_terminal() -> bool:
    """Return whether sys.stdout is a terminal."""
    try:
        return bool(sys.stdout.isatty())
    except Exception:  # it need not have that, or be there
        return False
