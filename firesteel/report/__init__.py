"""Runs that people can look at: a folder for each training, and one page that shows it.

Writing a run needs the packages of `pip install "firesteel[cli]"`; importing this needs NumPy alone.  Next:
`folder.py` (what is written, and when), then `evidence.py` (what the network does with rows) and `page.py`.
"""

from firesteel.report.folder import RunFolder, next_folder

__all__ = ["RunFolder", "next_folder"]
