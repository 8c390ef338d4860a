"""Draws demo.svg, the README's picture: what `firesteel demo` prints."""

import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

STYLES = {
    r"^(In this process|On Spark|What to try next)$": "bold",
    r"^test accuracy \S+": "bold green",
    r"^The fingerprints are equal.*$": "green",
    r"(?<=^fingerprint )\w+": "cyan",
}

if __name__ == "__main__":
    run = [Path(sys.executable).with_name("firesteel"), "demo"]
    printed = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    text = Text.assemble(("$ firesteel demo\n", "bold"), printed.rstrip())
    for pattern, style in STYLES.items():
        for found in re.finditer(pattern, text.plain, re.MULTILINE):
            text.stylize(style, *found.span())
    console = Console(record=True, width=88, file=open("/dev/null", "w"))
    console.print(text)
    console.save_svg(str(Path(__file__).with_name("demo.svg")), title="firesteel demo")
