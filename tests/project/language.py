"""The words that text for users avoids, and where they stand: `python -m tests.project.language [PATH ...]`."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
INSTEAD = {
    r"pric(e|es|ed|ing)": "penalty, penalized, cost",
    r"(tell|tells|told|hear|hears|heard)": "say what happens: reports, passes, is called when ...",
    r"gates?": "constructor check, build check, data validation",
    r"(look|looks|looked|looking) at": "validates, profiles, reads",
    r"survey(s|ed|ing)?": "validation, profile",
    r"desks?": "workspace",
    r"beside": "compared with, next to, also",
    r"sooner": "faster, earlier",
    r"(what \w+ came to|comes? to what)": "result",
    r"(bearing|bearable|unbearable)": "more than 1,000 times the initial loss",
    r"(there (is|are|was) no such|(is|are|there is) (?-i:none))": "does not exist, unknown",
    r"of ours": "of firesteel",
    r"(what|that which) (is|was|were) (kept|held|made|given|found)": "a noun that says what it is",
    r"(?<=the )(kept|held|made|given|found)(?= (is|are|of|in|and|has|have)\b|[.,;:)])": "a noun that says what it is",
    r"(so much the|as it is told|by and by|all but|as ever)": "a plain phrase",
}
WORDS = re.compile("|".join(rf"(?P<w{place}>\b{pattern}\b)" for place, pattern in enumerate(INSTEAD)), re.IGNORECASE)
PROSE = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "SECURITY.md", "docs/**/*.md"),
    *("examples/**/*.md", "benchmarks/*.md", "firesteel/**/*.md"),
)


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the text in a file that people read, with its lines: of Python the docstrings and the messages."""
    if path.suffix != ".py":
        code = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            code ^= line.startswith("```")
            if not code:
                yield number, re.sub(r"`[^`]*`|\]\([^)]*\)", "", line)
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            for number, line in enumerate(node.value.splitlines(), node.lineno):
                yield number, re.sub(r"`[^`]*`|>>>.*", "", line)


def findings(path: Path, root: Path = ROOT) -> list[str]:
    """Return the words to avoid in a file, each as "path:line: word -> what to write instead: the line"."""
    better = list(INSTEAD.values())
    return [
        f"{path.relative_to(root)}:{number}: {found[0]!r} -> {better[int(str(found.lastgroup)[1:])]}: {line.strip()}"
        for number, line in texts(path)
        for found in WORDS.finditer(line)
    ]


def read_by_users() -> list[Path]:
    """Return the files whose text users see."""
    return sorted({*(ROOT / "firesteel").rglob("*.py"), *(path for name in PROSE for path in ROOT.glob(name))})


if __name__ == "__main__":
    roots = [Path(name).resolve() for name in sys.argv[1:]]
    chosen = [path for path in read_by_users() if not roots or any(path.is_relative_to(root) for root in roots)]
    print("\n".join(line for path in chosen for line in findings(path)))
