"""The lesson's table: what each row trains, how it is scored, and that it is Markdown."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import lesson
from benchmarks.lesson import CASES, HEAD, OTHERS, Case, Score, line, main, other, score

RNG = np.random.default_rng(0)
X, Y = RNG.integers(0, 256, (300, 784), dtype=np.uint8), np.arange(300, dtype=np.uint8) % 10
TEST = RNG.integers(0, 256, (100, 784), dtype=np.uint8), np.arange(100, dtype=np.uint8) % 10
PARAMETERS = {"a third hidden layer, 20-15-15": 16_415}
WIDE = 188_660
each_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


@each_case
def test_every_row_is_the_lesson_with_one_thing_changed(case):
    wide = case.hidden == (200, 150)
    assert case.model().count_params() == (WIDE if wide else PARAMETERS.get(case.name, 16_175))
    assert [case.name for case in CASES].count(case.name) == 1
    lesson_itself, default = CASES[0], Case("")
    assert replace(lesson_itself, name="") == default
    changed = [name for name in vars(case) if name != "name" and getattr(case, name) != getattr(default, name)]
    assert len(changed) == (case is not lesson_itself) or case in CASES[-2:]


@each_case
def test_every_row_trains_and_is_scored(case):
    found = score(replace(case, epochs=2), (X, Y), TEST, seed=0)
    assert 0 <= found.accuracy <= 1 and math.isfinite(found.loss) and found.best in (1, 2) and found.seconds > 0


def test_the_best_epoch_is_kept_where_that_is_the_point():
    long = Case("", epochs=150, scale=1 / 255)
    scores = [score(replace(long, keep_best=keep), (X, Y), TEST, seed=0) for keep in (False, True)]
    assert scores[0].best == scores[1].best < 150
    assert scores[1].loss < scores[0].loss - 1  # labels drawn by lot: to learn them is to over-fit


def test_the_loss_of_a_row_leaves_the_price_of_weights_out():
    assert score(Case("", l2=100.0, epochs=1, scale=1 / 255), (X, Y), TEST, seed=0).loss < 3


def test_a_row_shows_medians_and_the_ends():
    scores = [Score(0.95, 0.2, 11, 0.5), Score(0.96, 0.4, 8, 0.1), Score(0.91, 0.3, 30, 0.3)]
    assert line(CASES[0], scores) == (
        "the lesson, 40 epochs",
        "0.9500 (0.9100..0.9600)",
        "0.3000",
        "11 (8..30) of 40",
        "0.30",
    )


@pytest.mark.parametrize("name", OTHERS)
def test_the_others_learn(name):
    x = np.eye(10, 12, dtype=np.uint8)[Y] * np.uint8(200)
    cells = other(name, (x, Y), (x[:50], Y[:50]))
    assert len(cells) == len(HEAD) and cells[0] == name
    assert float(cells[1]) == 1 and float(cells[2]) < 0.3


def test_it_prints_a_markdown_table(monkeypatch, capsys):
    monkeypatch.setattr(lesson, "load_mnist", lambda: ((X.reshape(-1, 28, 28), Y), TEST))
    monkeypatch.setattr(lesson, "CASES", [Case("short", epochs=1), Case("long", epochs=2)])
    monkeypatch.setattr(lesson, "OTHERS", {})
    main(seeds=2)
    title, _, *rows = capsys.readouterr().out.splitlines()
    assert title == "Medians of 2 seeds (minimum..maximum)"
    assert [row.split(" | ")[0] for row in rows] == ["| ", "| ---", "| short", "| long"]
    assert {row.count("|") for row in rows} == {len(HEAD) + 1}


def test_the_command_names_the_benchmarks_there_are():
    command = [sys.executable, "-m", "benchmarks", "lessen"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=60)
    assert done.returncode == 1 and done.stderr.startswith("no benchmark is called lessen: there are ")
    assert "lesson" in done.stderr
