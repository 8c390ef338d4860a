"""`python -m firesteel` and `spark-submit .../firesteel/__main__.py`: the command line without its script.

Under spark-submit the session that Spark has set up is the one that is used.
"""

import sys
from pathlib import Path

__all__: list[str] = []

if __name__ == "__main__":
    here = str(Path(__file__).parent)
    if here in sys.path:  # as a file is run: the package's own folder would hide others of its modules' names
        sys.path.remove(here)
        sys.path.append(str(Path(__file__).parents[1]))
    from firesteel.cli import main

    main()
