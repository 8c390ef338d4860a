"""What the shell sees: exit codes, streams that close, a terminal or none; and never a traceback."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

import firesteel
from firesteel import __version__
from firesteel.cli import main
from tests.cli.conftest import Run

FIRESTEEL = [sys.executable, "-c", "from firesteel.cli import main; main()"]
ENDLESS = ["train", "--epochs", "1000000"]


def shell(*argv: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [*FIRESTEEL, *argv]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ | changes)


@pytest.mark.parametrize(
    "argv, said",
    [
        (["train", "--epoch", "3"], "Did you mean --epochs?"),
        (["trian"], 'Did you mean "train"?'),
        (["train", "--epochs", "0"], "Must be >= 1"),
        (["train", "--data", "mnits"], "did you mean 'mnist'?"),
        (["train", "digits"], "digits"),
    ],
)
def test_r47_a_mistyped_command_is_explained(run, monkeypatch, argv, said):
    monkeypatch.setenv("COLUMNS", "200")
    code, out, err = run(*argv)
    assert (code, out) == (2, "") and said in err and "Traceback" not in err


def test_r47_a_mistyped_command_is_explained_in_ascii():
    done = shell("trian", LC_ALL="C", PYTHONIOENCODING="ascii", COLUMNS="200")
    assert (done.returncode, done.stdout) == (2, "")
    assert 'Did you mean "train"?' in done.stderr and "Traceback" not in done.stderr


UNREACHABLE = {
    "spark://127.0.0.1:1": (["--master", "spark://127.0.0.1:1"], {}),
    "sc://127.0.0.1:1": ([], {"SPARK_REMOTE": "sc://127.0.0.1:1", "grpc_proxy": ""}),
}


@pytest.mark.parametrize("name", UNREACHABLE)
def test_a_spark_that_nothing_answers_for_is_a_line_and_an_exit_code(name):
    argv, changes = UNREACHABLE[name]
    changes = {"grpc_proxy": "", "https_proxy": "", "http_proxy": ""} | changes
    done = shell("train", "--data", "digits", "--engine", "spark", *argv, **changes)
    (said,) = [line for line in done.stderr.splitlines() if line.startswith("firesteel: ")]
    assert done.returncode == 4 and "127.0.0.1:1 cannot be reached (Connection refused)" in said
    assert "Traceback" not in done.stderr and "[spark-start]" in said and done.stdout.count("\n") <= 1


def test_spark_without_java_is_an_exit_code_of_its_own():
    done = shell("train", "--engine", "spark", JAVA_HOME="/nowhere")
    assert done.returncode == 4
    assert done.stderr.startswith("firesteel: Spark needs Java 17 or 21") and done.stderr.count("\n") == 1


def test_a_training_that_diverges_is_a_failure():
    done = shell("train", "--optimizer", "sgd", "--learning-rate", "1e30")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("firesteel: training diverged in epoch 1")
    assert "Traceback" not in done.stderr


def test_help():
    done = shell("--help", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert (
        all(
            f" {name} " in done.stdout
            for name in ("data", "demo", "doctor", "evaluate", "inspect", "predict", "report", "train")
        )
        and done.stdout.isascii()
    )


def test_r47_training_works_in_the_c_locale_and_with_stdin_closed():
    command = ["sh", "-c", 'exec "$@" <&-', "sh", *FIRESTEEL, "train", "--epochs", "1"]
    environment = os.environ | {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch("fingerprint [0-9a-f]{64}", done.stdout.splitlines()[-1])


@pytest.mark.parametrize("argv", [ENDLESS, [*ENDLESS, "--json"]])
def test_r47_a_reader_that_leaves_ends_it_quietly(argv):
    with subprocess.Popen([*FIRESTEEL, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(60) == 1
    assert "Traceback" not in err and "BrokenPipe" not in err


def test_r47_an_interrupt_is_one_line():
    with subprocess.Popen(
        [*FIRESTEEL, *ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stdout.readline()
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "firesteel: interrupted\n")


def stopped(how: signal.Signals, *argv: str) -> tuple[int, str]:
    """Stop a command once it has told of two epochs; return its exit code and what it complained of."""
    command = [*FIRESTEEL, *argv]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if re.match(r"epoch \d*[05]\d*/", line):
                break
        process.send_signal(how)
        process.stdout.read()
        err = process.stderr.read()
        return process.wait(60), err


def check_stops(run: Run, folder: Path, *argv: str) -> None:
    """Stop a run by both signals, let it end, and compare it with one that was left alone."""
    _, whole, _ = run("train", *argv, "--shards", "2")
    kept = str(folder / "run")
    said = f"firesteel: interrupted; resume with: firesteel train --resume {kept}\n"
    assert stopped(signal.SIGTERM, "train", *argv, "--shards", "2", "--run", kept) == (130, said)
    assert json.loads((folder / "run/metrics.json").read_text())["status"] == "interrupted"
    assert stopped(signal.SIGINT, "train", "--resume", kept) == (130, said)
    code, _, err = run("train", "--resume", kept, "--shards", "3")
    assert code == 3 and "shards is 2 there and 3 here" in err
    code, out, err = run("train", "--resume", kept)
    assert (code, err) == (0, "") and "resuming after epoch " in out
    assert out.splitlines()[-1] == whole.splitlines()[-1]
    lines = (folder / "run/history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(whole.count("epoch ")))
    assert not (folder / "run/checkpoint").exists()
    code, _, err = run("train", "--resume", kept)
    assert code == 2 and "is complete: there is nothing to resume" in err


def test_r47_a_run_that_was_stopped_goes_on_to_the_same_bits(run, tmp_path):
    check_stops(run, tmp_path, "--epochs", "100")


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_r47_a_run_on_spark_that_was_stopped_goes_on_to_the_same_bits(run, tmp_path):
    check_stops(run, tmp_path, "--epochs", "12", "--engine", "spark")


def test_what_cannot_be_resumed_is_one_line(run, tmp_path):
    code, _, err = run("train", "--resume", tmp_path)
    assert (code, err.count("\n")) == (2, 1) and "it has no config.toml" in err
    code, _, err = run("train", "--resume", tmp_path, "my.toml")
    assert (code, err.count("\n")) == (2, 1) and "leave out my.toml" in err


def on_terminal(*argv: str, **changes: str) -> str:
    """What a terminal of 80 columns is sent."""
    ours, theirs = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "CI")} | {"TERM": "xterm-256color"}
    environment |= {"COLUMNS": "80"} | changes
    with subprocess.Popen([*FIRESTEEL, *argv], stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        sent = b""
        try:
            while piece := os.read(ours, 65536):
                sent += piece
        except OSError:  # Linux's way to say that the other side has closed
            pass
    os.close(ours)
    return sent.decode()


def test_a_terminal_gets_one_line_that_is_drawn_over():
    sent = on_terminal("train", "--epochs", "5")
    assert "\x1b[2K" in sent and "epoch 5/5" in sent and "rows/s" in sent
    assert re.fullmatch("fingerprint [0-9a-f]{64}", sent.splitlines()[-1])


@pytest.mark.parametrize("name", ["NO_COLOR", "CI"])
def test_a_terminal_that_wants_plain_text_gets_it(name):
    sent = on_terminal("train", "--epochs", "5", **{name: "1"})
    assert "\x1b[2K" not in sent
    assert re.findall(r"^epoch (\d)/5  ", sent, re.MULTILINE) == list("12345")


def test_importing_it_needs_neither_extra():
    code = "import sys, firesteel.cli; print({'cyclopts', 'rich', 'pyspark', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("name", ["cyclopts", "rich"])
def test_without_the_extra_it_says_how_to_install_it(name, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as end:
        main(["train"])
    out, err = capsys.readouterr()
    assert (end.value.code, out) == (2, "")
    assert err.count("\n") == 1 and 'pip install "firesteel[cli]"' in err


@pytest.mark.slow
def test_under_spark_submit_the_session_is_the_one_that_it_made():
    submit = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    program = Path(firesteel.__file__).with_name("__main__.py")
    argv = ["train", "--epochs", "2", "--shards", "2"]
    done = subprocess.run(
        [submit, "--master", "local[2]", "--name", "mine", program, *argv, "--engine", "spark"],
        capture_output=True,
        text=True,
        timeout=200,
        env=os.environ | {"PYSPARK_PYTHON": sys.executable},
    )
    assert done.returncode == 0, done.stderr
    assert "Submitted application: mine" in done.stderr
    assert done.stdout.splitlines()[-1] == shell(*argv).stdout.splitlines()[-1]


def test_as_a_module_and_as_a_file_it_is_the_same_command():
    program = Path(firesteel.__file__).with_name("__main__.py")
    for command in (["-m", "firesteel"], [str(program)]):
        done = subprocess.run([sys.executable, *command, "--version"], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, f"firesteel {__version__}\n")
