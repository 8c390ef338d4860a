"""What a release needs: the notes of a version, and proof that the built wheel works.

    python -m tests.project.release notes v0.2.0  # the changelog's section, if every file has that version
    python -m tests.project.release try dist [--demo]  # install the wheel in an empty environment and use it

--demo: also install the extras `cli` and `spark` and run `firesteel demo`; with Java, it must train on Spark too.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEADING = re.compile(r"^## \[?([^\]\s]+)\]?", re.MULTILINE)
FIT = """
import numpy as np
import firesteel, firesteel.spark
from firesteel.layers import Dense
from firesteel.models import Sequential

assert "site-packages" in firesteel.__file__, firesteel.__file__
model = Sequential([Dense(4, activation="relu"), Dense(2, activation="softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
model.fit(np.eye(4), [0, 1, 0, 1], epochs=2, verbose=0)
print(firesteel.__version__)
"""


def notes(version: str) -> str:
    """Return the section of CHANGELOG.md on a version, without its heading.

    Raises:
        SystemExit: The changelog has no such section.
    """
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = list(HEADING.finditer(text))
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        if heading[1] == version:
            return text[text.index("\n", heading.end()) : following.start() if following else None].strip()
    raise SystemExit(f"CHANGELOG.md has no section on version {version}")


def versions() -> dict[str, str]:
    """Return each file that names the current version, and the version that it names."""
    patterns = {
        "firesteel/__init__.py": r'^__version__ = "(.+)"',
        "CITATION.cff": r"^version: (.+)",
        "CHANGELOG.md": r"^## \[?(\d[^\]\s]*)",
    }
    found = {}
    for name, pattern in patterns.items():
        match = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
        found[name] = match[1] if match else "none"
    return found


def print_notes(tag: str) -> None:
    """Print the notes of a tag's version, if every file names that version."""
    version = tag.removeprefix("v")
    if wrong := {name: found for name, found in versions().items() if found != version}:
        raise SystemExit(f"the tag is {tag}, but {', '.join(f'{name} has {found}' for name, found in wrong.items())}")
    print(notes(version))


class Environment:
    """An empty virtual environment in a folder, used from outside the repository."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, with_pip=True)
        self.folder, self.scripts = folder, folder / ("Scripts" if os.name == "nt" else "bin")

    def run(self, program: str, *arguments: str, code: int = 0) -> str:
        """Run a program of the environment and return what it prints; raise SystemExit for another exit code."""
        variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [str(self.scripts / program), *arguments],
            cwd=self.folder,
            env=variables | {"PATH": f"{self.scripts}{os.pathsep}{os.environ['PATH']}", "PYTHONUTF8": "1"},
            capture_output=True,
            text=True,
        )
        said = done.stdout + done.stderr
        if done.returncode != code:
            raise SystemExit(f"{program} {' '.join(arguments)}: exit code {done.returncode}, not {code}:\n{said}")
        return said

    def install(self, *packages: str) -> None:
        self.run("python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages)


def expect(part: str, said: str) -> None:
    if part not in said:
        raise SystemExit(f"expected {part!r} in:\n{said}")


def check_links(wheel: Path) -> None:
    """Raise SystemExit if the description of a wheel has relative links, which a package index cannot follow."""
    with zipfile.ZipFile(wheel) as file:
        metadata = next(name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        text = file.read(metadata).decode()
    if links := re.findall(r"\]\((?!https?:|#)[^)]+\)", text):
        raise SystemExit(f"the description has relative links: {', '.join(links)}")


def try_wheel(dist: Path, demo: bool) -> None:
    """Install the wheel in `dist` in empty environments, alone and with extras, and use it."""
    (wheel,) = [path.resolve() for path in dist.glob("*.whl")]
    version = wheel.name.split("-")[1]
    check_links(wheel)
    with tempfile.TemporaryDirectory(prefix="firesteel-") as folder:
        alone = Environment(Path(folder).resolve() / "alone")
        alone.install(str(wheel))
        expect(version, alone.run("python", "-I", "-c", FIT))
        expect('pip install "firesteel[cli]"', alone.run("firesteel", "demo", code=2))
        print(f"{wheel.name}: imports and trains; the command line names the extra that it needs")
        if not demo:
            return
        alone.install(f"{wheel}[cli]")
        expect(f"firesteel {version}", alone.run("firesteel", "--version"))
        expect('pip install "firesteel[spark]"', alone.run("firesteel", "demo"))
        print("with [cli]: the demo trains in process and names the extra that Spark needs")
        alone.install(f"{wheel}[cli,spark]")
        java = shutil.which("java") or os.environ.get("JAVA_HOME")
        expect("fingerprints are equal" if java else "Java", alone.run("firesteel", "demo"))
        print("with [cli,spark]: the demo " + ("gives the same fingerprint on Spark" if java else "asks for Java"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("notes").add_argument("tag")
    trial = commands.add_parser("try")
    trial.add_argument("dist", type=Path)
    trial.add_argument("--demo", action="store_true")
    given = parser.parse_args()
    if given.command == "notes":
        print_notes(given.tag)
    else:
        try_wheel(given.dist, given.demo)


if __name__ == "__main__":
    sys.exit(main())
