"""The board of a training: it fits, leaves out what matters less, and says nothing that the rows do not."""

import io
import time

import pytest
from rich.cells import cell_len
from rich.console import Console

from firesteel.cli.progress import Board, EachRow, epochs_shown, is_live, shares, sparkline
from firesteel.report.verdict import time_split

TIMES = {"rows": 54_000, "seconds": 1.25, "shard_seconds": 1.6, "slowest_seconds": 0.9, "wait_seconds": 0.25}
KINDS = {
    "classes": {"accuracy": 0.91},
    "numbers": {"mae": 31_234.5, "r2": -1.25},
    "nothing more": {},
    "many": {f"top_{n}_accuracy": n / 10 for n in range(9)},
}


def history(count, metrics, validation=True):
    rows = []
    for epoch in range(count):
        values = {"loss": 2.5 / (epoch + 1), **metrics}
        held = {f"val_{name}": value + 1.0 for name, value in values.items()} if validation else {}
        rows.append({"epoch": epoch, **values, "confusion": [[1, 0], [0, 1]], **TIMES, **held, "learning_rate": 1e-4})
    return rows


def drawn(rows, width, epochs=12, encoding="utf-8", **changes):
    board = Board(epochs)
    board.rows, board.params, board.latest = rows, {"shards": 2}, time.perf_counter()
    vars(board).update(changes)
    raw = io.BytesIO()
    console = Console(file=io.TextIOWrapper(raw, encoding), width=width, force_terminal=True, color_system=None)
    console.print(board)
    console.file.flush()
    return raw.getvalue().decode(encoding).rstrip("\n").split("\n")


@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count, epochs", [(0, 3), (1, 3), (7, 12), (990, 1000), (12, 12)])
def test_it_fits_into_three_lines_that_are_not_cut(width, kind, count, epochs):
    lines = drawn(history(count, KINDS[kind]), width, epochs)
    assert len(lines) == (3 if count else 1)
    assert all(cell_len(line) <= width and "…" not in line for line in lines)
    assert lines[0].startswith(f"epoch {count}/{epochs}  ")
    if count:
        assert lines[0].rstrip().endswith("s left" if count < epochs else "s") and "43,200 rows/s" in lines[0]
        assert f" val_loss {1 + 2.5 / count:.4f}" in lines[1]
        assert lines[2].strip() == "time  computing 72%  engine 20%  waiting 8%"


def test_a_wide_terminal_shows_everything_and_a_narrow_one_what_matters():
    rows = history(7, KINDS["classes"])
    wide, narrow = drawn(rows, 140)[1].split(), drawn(rows, 60)[1].split()
    said = "val_loss 1.3571 loss 0.3571 accuracy 0.9100 val_accuracy 1.9100 learning_rate 0.0001".split()
    assert wide == ["█▄▃▂▁▁▁", *said]
    assert narrow == wide[: len(narrow)] and len(narrow) >= 5


def test_without_validation_the_line_is_the_training_loss():
    assert drawn(history(3, {}, validation=False), 80)[1].split()[:3] == ["█▃▁", "loss", "0.8333"]


def test_a_terminal_without_unicode_gets_no_line_of_losses():
    lines = drawn(history(7, KINDS["classes"]), 80, encoding="ascii")
    assert all(line.isascii() for line in lines) and lines[1].startswith("val_loss 1.3571")


def test_what_is_left_counts_from_the_epochs_seen_and_runs_down():
    rows = history(8, {})[6:]  # begun at the seventh
    assert drawn(rows, 80, 12)[0].split("rows/s")[1].strip() == "5 s left"
    assert drawn(rows, 80, 12, latest=time.perf_counter() - 4)[0].split("rows/s")[1].strip() == "1.0 s left"
    assert drawn(rows, 80, 12, ended=True)[0].split("rows/s")[1].strip() == "2.5 s"


def test_a_loss_that_is_no_number_is_a_gap():
    assert sparkline([2.0, float("nan"), 1.0], 9) == "█ ▁"
    assert sparkline([float("nan")], 9) == " " and sparkline([1.0, 1.0], 9) == "▁▁"
    assert "nan" in drawn(history(2, {"val_loss": float("nan")}), 60)[1]


def test_the_split_of_time_adds_up_whatever_the_rows_say():
    one = {"seconds": 1.0, "shard_seconds": 0.9, "slowest_seconds": 0.9, "wait_seconds": 0.1}
    assert shares(time_split([one], 1)) == {"computing": 0.9, "engine": 0.1, "waiting": 0.0}
    shared = {"seconds": 1.0, "shard_seconds": 1.8, "slowest_seconds": 0.25, "wait_seconds": 0.1}  # 8 shards, 2 cores
    assert shares(time_split([shared], 8))["computing"] >= 0.85
    none = dict.fromkeys(one, 0.0)
    assert sum(shares(time_split([none, none], 4)).values()) == 1.0


def plain(rows, **settings):
    class Model:
        pass

    console = Console(file=io.StringIO())
    with epochs_shown(len(rows), console, live=False, **settings) as show:
        assert isinstance(show, EachRow)
        for row in rows:
            show.model = Model()
            show.model.history = type("History", (), {"rows": [row]})
            show.on_epoch_end(row["epoch"])
    return console.file.getvalue().splitlines()


def test_plain_lines_hold_whatever_was_measured():
    (line,) = plain(history(1, KINDS["numbers"]))
    assert line == (
        "epoch 1/1  loss 2.5000  mae 31,234.50  r2 -1.2500  val_loss 3.5000  val_mae 31,235.50  val_r2 -0.2500  "
        "learning_rate 0.0001  43,200 rows/s  1.2 s"
    )
    assert [line.split()[1] for line in plain(history(7, {}), every=3)] == ["3/7", "6/7", "7/7"]


@pytest.mark.parametrize("name", ["NO_COLOR", "CI"])
def test_nothing_is_drawn_over_where_plain_text_is_wanted(name, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for other in ("NO_COLOR", "CI"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert is_live(Console(file=Terminal()))
    monkeypatch.setenv(name, "1")
    assert not is_live(Console(file=Terminal()))


def test_the_live_display_shows_what_happens_before_the_first_epoch_ends():
    assert "preparing the rows" in drawn([], 80)[0]
    assert "first epoch, 1 min 15 s so far" in drawn([], 80, begun=time.perf_counter() - 75.0)[0]
