"""`firesteel report`: the page of a run folder, drawn again from the files in it.

The page itself is `firesteel.report.page`.
"""

from pathlib import Path

from firesteel import _store as store
from firesteel.errors import without_secrets


def report(run: Path, /) -> None:
    """Draw report.html of a run folder again, from the other files in it, also while the run goes on.

    Parameters
    ----------
    run
        The run folder.
    """
    from firesteel.report.page import render

    page = render(run)
    path = run / "report.html"
    store.write(path, page.encode())
    print(f"{without_secrets(str(path))}  {len(page.encode()):,} bytes")
