"""`python -m firesteel` and `spark-submit .../firesteel/__main__.py`: the command line without its script.

Under spark-submit it uses Spark's session.
"""

import sys
from pathlib import Path

__all__: list[str] = []

if __name__ == "__main__":
    here = Path(__file__).parent
    if str(here) in sys.path:  # run as a file: make the package importable, not the modules in it
        sys.path[sys.path.index(str(here))] = str(here.parent)
    from firesteel.cli import main

    main()
