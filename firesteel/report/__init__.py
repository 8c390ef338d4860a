"""Run folders and reports: a folder for each training, with an HTML page that shows it.

Writing a run needs the packages of `pip install "firesteel[cli]"`; importing this module needs only NumPy.  Next:
`folder.py` (what is written, and when), `evidence.py` (what is measured) and `page.py` (the page).
"""

from firesteel.report.folder import RunFolder, next_folder

__all__ = ["RunFolder", "next_folder"]
