"""Leaves out the tests that are marked for another operating system, and says how many they are."""

import sys

ELSEWHERE = {"posix": sys.platform == "win32", "linux": not sys.platform.startswith("linux")}
"""For each marker, whether this system is another one."""


def pytest_collection_modifyitems(config, items):
    away = [
        item for item in items if any(ELSEWHERE[mark.name] for mark in item.iter_markers() if mark.name in ELSEWHERE)
    ]
    if away:
        items[:] = [item for item in items if item not in away]
        config.hook.pytest_deselected(items=away)
        config.away = len(away)


def pytest_terminal_summary(terminalreporter, config):
    if away := getattr(config, "away", 0):
        terminalreporter.write_line(
            f"{away} tests need another operating system than {sys.platform}: see tests/conftest.py"
        )
