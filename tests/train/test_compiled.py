"""R52 and R53: after an upgrade nothing old is run, and compiled code that fails changes nothing but the time."""

import errno
import functools
import importlib
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import firesteel
from firesteel.callbacks import Callback
from firesteel.errors import DataError
from firesteel.fast import chain, compiled, compiling, team, threads
from firesteel.fast.kernels import functions, optimizers, rows
from firesteel.layers import BatchNormalization, Conv2D, Dense, Dropout, Flatten, Input, MaxPooling2D, ReLU
from firesteel.models import Sequential
from firesteel.train import step
from tests.support.upgrades import EDITS, copied, upgraded

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (600, 12)).astype(np.uint8)
Y = (X @ RNG.normal(size=(12, 4))).argmax(axis=1)
HAS_TEAMS = bool(functions.blas("float32") and team.system())


@pytest.fixture
def small(monkeypatch):
    """Compiled code is in use, networks of any size are worth a team of three, and nothing has been warned of."""
    monkeypatch.setattr(compiling, "ON", True)
    monkeypatch.setattr(compiling, "WORTH", 0)
    monkeypatch.setattr(step, "SHARED", 0)
    monkeypatch.setattr(threads, "worker_threads", lambda: 3)


@pytest.fixture
def fresh(small, monkeypatch, tmp_path):
    """A process that has compiled nothing yet; return where it keeps what it compiles."""
    monkeypatch.setattr(compiling, "STORE", compiled.Files())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    forget()
    yield tmp_path / "cache" / "firesteel" / "kernels"
    forget()


def forget():
    """Forget what this process has compiled."""
    for found in (compiling._numba, compiling._compiled, chain.loops, team.served):
        found.cache_clear()


NETWORK = (Dense(9, "relu"), Dense(4, "softmax"))


def fit(layers=NETWORK, x=X, y=Y, optimizer="adam", loss=None, **settings):
    """Train; return the fingerprint, and what was warned of."""
    model = Sequential(list(layers))
    model.compile(optimizer, loss or "sparse_categorical_crossentropy")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        model.fit(x, y, **({"epochs": 2, "batch_size": 100, "seed": 1, "verbose": 0} | settings))
    return model.fingerprint(), [str(one.message) for one in said if one.category is RuntimeWarning]


PICTURES = Input((4, 3, 1)), Conv2D(6, 2), BatchNormalization(), ReLU(), Conv2D(5, 2, activation="relu")
FITS = {
    "a team": {},
    "pictures": {"layers": (*PICTURES, MaxPooling2D((2, 1)), Flatten(), *NETWORK), "x": X.reshape(600, 4, 3, 1)},
    "chains": {"layers": (Dense(9, "relu"), Dropout(0.3), Dense(8, "tanh"), Dense(4, "softmax"))},
    "numbers": {"layers": (Dense(9, "tanh"), Dense(1)), "y": Y.astype("f4"), "loss": "mse"},
    "steps on the driver": {"strategy": "gradient", "batch_size": 200},
    "shards": {"shards": 3},
    "another optimizer": {"optimizer": "sgd"},
}


@functools.cache
def expected(name):
    """The fingerprint of a fit that is left to NumPy."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiling, "ON", False)
        patch.setattr(step, "SHARED", 0)
        found, said = fit(**FITS[name])
    assert not said
    return found


# An upgrade

FIT = """
import json, sys, warnings
sys.path.insert(0, sys.argv[1])
from firesteel.fast import compiling, team
import numpy as np
from firesteel.layers import Dense
from firesteel.models import Sequential
compiling.WORTH = 0
x = np.random.default_rng(0).integers(0, 256, (300, 6)) / 255
model = Sequential([Dense(5, "relu"), Dense(3, "softmax")])
model.compile("adam", "sparse_categorical_crossentropy")
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    model.fit(x, np.arange(300) % 3, epochs=2, batch_size=100, seed=1, verbose=0)
serve = compiling.ON and team.served("float32")
hits = sum(serve.dispatcher._cache_hits.values()) if serve else None
assert not serve or serve.dispatcher.overloads, "nothing was compiled"
said = [str(one.message) for one in said if one.category is RuntimeWarning]
print(json.dumps([model.fingerprint(), hits, said]))
"""


def process(place, cache, **changes):
    """Fit in a process of its own that has the package from this folder or archive."""
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)} | changes
    environment.pop("PYTHONPATH", None)
    environment.pop("NUMBA_CACHE_DIR", None)
    command = [sys.executable, "-W", "always", "-c", FIT, str(place)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=Path(place).parent)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def packed(folder, name):
    """Return an archive of the package in this folder, as executors have one."""
    return shutil.make_archive(str(folder.with_name(name)), "zip", folder)


def check_upgrade(edit, tmp_path):
    """Train by an old and a new version, in folders and archives, with one cache; return their fingerprints."""
    cache, place = tmp_path / "cache", copied(tmp_path / "place")
    old, archive = process(place, cache), packed(place, "old")
    assert process(archive, cache) == [old[0], HAS_TEAMS and 1, []]
    upgraded(place, edit)
    new = process(packed(place, "new"), cache)
    assert new == [new[0], HAS_TEAMS and 0, []] and (new[0] != old[0] or not HAS_TEAMS)
    assert process(place, cache) == [new[0], HAS_TEAMS and 1, []]
    assert process(archive, cache) == [old[0], HAS_TEAMS and 1, []], "the old version has its own"
    return old[0], new[0]


def before(x):
    x[0] = 1.0


def after(x):
    x[0] = 2.0


def caller(x):
    """A kernel that calls another one."""
    inner(x)  # noqa: F821


def test_r52_a_kernel_calls_what_this_version_has(fresh):
    """The caller's own code is the same in both versions, and each finds what it has compiled before."""
    for hits in (0, 1):
        for inner, expected in ((before, 1.0), (after, 2.0)):
            x, outer = np.zeros(3), compiling.Compiled(caller, {"inner": compiling.Compiled(inner, {})})
            outer(x)
            assert x[0] == expected and sum(outer.dispatcher._cache_hits.values()) == hits
    assert len(list(fresh.glob("caller-*"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS)
def test_r52_after_an_upgrade_of_each_module_new_code_runs(edit, tmp_path):
    _, new = check_upgrade(edit, tmp_path)
    assert process(tmp_path / "place", tmp_path / "empty")[0] == new


def test_r52_what_is_compiled_together_has_one_name(fresh, monkeypatch):
    """Each constant, each function that is called, each field's place and each version is a part of it."""
    if not HAS_TEAMS:
        return
    serve, target = team.served("float32"), team.served("float32").dispatcher.targetctx
    kinds = [compiling._numba().typeof(one) for one in (np.zeros(3), np.zeros(2, np.int64))]
    names = {serve._file_name(kinds, target), serve._file_name(kinds[:1], target)}
    for module, attribute, value in [
        (np, "__version__", "9"),
        (firesteel, "__version__", "9"),
        (compiling, "SETTINGS", {}),
        (compiling.platform, "python_version", lambda: "9"),
        (target, "codegen", lambda: type("", (), {"magic_tuple": lambda self: ("x86_64", "another")})()),
    ]:
        with monkeypatch.context() as patch:
            patch.setattr(module, attribute, value)
            names.add(serve._file_name(kinds, target))
    one, other = (compiling._numba().typeof(pair) for pair in map(pairs, (("a", "b"), ("b", "a"))))
    names |= {serve._file_name([one], target), serve._file_name([other], target)}
    assert len(names) == 9

    def digest(**meant):
        copy = compiling.bound(limited, {"LIMIT": meant.pop("limit", 1)})
        return compiling.Compiled(copy, meant).digest

    calls = {"other": compiling.Compiled(rows.gather, {})}
    assert digest(**calls) == digest(**calls)
    other = digest(other=compiling.Compiled(optimizers.adam, {}))
    assert len({digest(**calls), digest(limit=2, **calls), other}) == 3


def pairs(fields):
    return namedtuple("Pair", fields)(1.0, 2.0)


def limited(x):
    """A kernel that names a number and another kernel."""
    x[0] = LIMIT + other(x)  # noqa: F821


# Where machine code is kept


def flipped(at):
    def flip(file, other):
        data = bytearray(file.read_bytes())
        data[at] ^= 1
        file.write_bytes(data)

    return flip


def linked(file, other):
    file.unlink()
    file.symlink_to(other)


def piped(file, other):
    file.unlink()
    os.mkfifo(file)


def folder(file, other):
    file.unlink()
    file.mkdir()


DAMAGE = {
    "cut": lambda file, other: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file, other: os.truncate(file, 0),
    "a byte of its code": flipped(-1000),
    "a byte of its checksum": flipped(3),
    "longer": lambda file, other: file.write_bytes(file.read_bytes() + b"x"),
    "zeros": lambda file, other: file.write_bytes(bytes(file.stat().st_size)),
    "another's": lambda file, other: file.write_bytes(other.read_bytes()),
    "text": lambda file, other: file.write_text("gone"),
    "huge": lambda file, other: os.truncate(file, 1 << 40),
    "a link": linked,
    "a pipe": piped,
    "a folder": folder,
    "open to others": lambda file, other: file.chmod(0o666),
    "somebody else's": lambda file, other: os.chown(file, 12345, 12345) if not os.geteuid() else file.chmod(0o622),
}


def alone(monkeypatch):
    """Leave chains to NumPy: they take long to compile."""
    monkeypatch.setattr(chain, "loops", functools.cache(lambda dtype: None))


def filled(fresh, monkeypatch, known={}):  # noqa: B006
    """Keep there what a fit compiles but for chains, compiled once for all tests."""
    alone(monkeypatch)
    for name, data in known.items():
        compiling.STORE.write(name, data)
    assert fit(**FITS["numbers"]) == (expected("numbers"), [])
    known |= {file.name: compiling.STORE.read(file.name) for file in fresh.iterdir()}
    forget()


def check_damage(fresh, name, kernel, damage):
    """Damage what is kept of a kernel; a fit compiles it anew, says so once, and keeps it, and the next finds it."""
    forget()
    assert fit(**FITS[name]) == (expected(name), [])
    file = next(fresh.glob(f"{kernel}-*"))
    DAMAGE[damage](file, next(one for one in fresh.iterdir() if one != file))
    compiling.STORE.warned = False
    forget()
    found, said = fit(**FITS[name])
    assert found == expected(name) and len(said) == 1 and str(fresh) in said[0], said
    if damage == "a folder":  # which nothing can be put in the place of
        file.rmdir()
    else:
        assert compiled.Files().read(file.name)


@pytest.mark.parametrize("damage", ["cut", "a byte of its code", "another's", "a pipe", "open to others"])
@pytest.mark.posix
def test_r53_a_damaged_file_is_compiled_again(damage, fresh, monkeypatch):
    filled(fresh, monkeypatch)
    check_damage(fresh, "numbers", "adam", damage)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.posix
def test_r53_damage_in_every_way_to_what_a_team_runs(fresh):
    for damage in DAMAGE if HAS_TEAMS else ():
        check_damage(fresh, "a team", "serve", damage)


def locked(fresh):
    """Let others write there."""
    fresh.mkdir(parents=True)
    fresh.chmod(0o777)


def taken(fresh):
    fresh.mkdir(parents=True)
    os.chown(fresh, 12345, 12345) if not os.geteuid() else fresh.chmod(0o722)


def occupied(fresh):
    fresh.parent.mkdir(parents=True)
    fresh.write_text("")


def led_away(fresh):
    fresh.parent.mkdir(parents=True)
    (fresh.parent / "other").mkdir()
    fresh.symlink_to("other")


@pytest.mark.parametrize(
    ("spoil", "name"), [(locked, "a team"), (taken, "numbers"), (occupied, "numbers"), (led_away, "numbers")]
)
@pytest.mark.posix
def test_r53_where_others_may_write_nothing_is_loaded_and_nothing_written(spoil, name, fresh):
    spoil(fresh)
    found, said = fit(**FITS[name])
    assert found == expected(name) and len(said) == 1 and str(fresh) in said[0]
    assert not fresh.is_dir() or not list(fresh.iterdir())
    assert not compiling.STORE.usable() and chain.loops("float32") is None


@pytest.mark.parametrize("place", ["nowhere", "~", "/proc/nothing"])
@pytest.mark.posix
def test_r53_a_folder_that_cannot_be_made_is_said(place, fresh, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", place)
    found, said = fit(**FITS["numbers"])
    assert found == expected("numbers") and len(said) == 1 and not list(tmp_path.iterdir())


@pytest.mark.posix
def test_r53_a_full_disk_is_said_and_what_is_compiled_runs(fresh, monkeypatch):
    import resource

    alone(monkeypatch)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        found, said = fit(**FITS["numbers"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert found == expected("numbers") and len(said) == 1 and "File too large" in said[0]
    assert compiling.ON and not list(fresh.iterdir())


@pytest.mark.posix
def test_r53_what_nobody_reads_any_more_is_removed(fresh):
    fresh.mkdir(parents=True, mode=0o700)
    ages = {"begun.part": (2, 2), "new.part": (0, 0), "of-another": (2, 2), "read-lately": (0, 2), "old": (2, 2)}
    for name, age in ages.items():
        fresh.joinpath(name).write_text("")
        os.utime(fresh / name, tuple(time.time() - times * compiled.UNUSED for times in age))
    compiling.STORE.write("kernel", b"code")
    assert set(os.listdir(fresh)) == {"kernel", "new.part", "old", "read-lately"}, "but what is none of ours"
    assert compiling.STORE.read("kernel") == b"code"
    assert fresh.joinpath("kernel").stat().st_mode & 0o777 == 0o600


NO_CODE = {"nothing": b"", "text": b"text", "None": pickle.dumps(None), "others": pickle.dumps(("other", "things"))}


@pytest.mark.parametrize("data", NO_CODE.values(), ids=NO_CODE)
def test_r53_what_is_whole_and_yet_no_code_fails_once(data, fresh, monkeypatch):
    """Whoever meets it leaves its work to NumPy, and who comes after compiles it again."""
    filled(fresh, monkeypatch)
    file = next(fresh.glob("adam-*"))
    file.write_bytes(compiled._sum(file.name, data) + data)
    for warned in (int(bool(data)), 0):
        forget()
        compiling.ON = True
        found, said = fit(**FITS["numbers"])
        assert found == expected("numbers") and len(said) == warned, said
    assert len(compiled.Files().read(file.name)) > 1000


KILLED = """
import os, signal, sys
from firesteel.fast.compiled import Files
files = Files()
files.write("kernel", b"old" * 100_000)
print(flush=True)
real = os.replace
def replace(*given):
    if sys.argv[1] != "before":
        real(*given)
    if sys.argv[1] != "never":
        os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
while True:
    files.write("kernel", b"new" * 100_000)
"""


def writing(killed):
    """Begin to write to the store, in a process that is killed before or after a file is put in its place."""
    writer = subprocess.Popen([sys.executable, "-c", KILLED, killed], stdout=subprocess.PIPE)
    writer.stdout.readline()
    return writer


@pytest.mark.parametrize("killed", ["before", "after"])
@pytest.mark.posix
def test_r53_a_process_that_is_killed_as_it_writes_leaves_what_is_whole(killed, fresh):
    with writing(killed) as writer:
        assert writer.wait() == -signal.SIGKILL
    assert compiling.STORE.read("kernel")[:3] == (b"old" if killed == "before" else b"new")
    compiling.STORE.write("kernel", b"mine")
    assert compiling.STORE.read("kernel") == b"mine" and not compiling.STORE.warned


@pytest.mark.slow
@pytest.mark.posix
def test_r53_processes_that_are_killed_and_write_at_once_leave_what_is_whole(fresh):
    moments = random.Random(0)
    for _ in range(30):
        with writing("never") as one, writing("never") as other:
            time.sleep(moments.random() * 0.02)
            found = compiling.STORE.read("kernel")
            one.kill()
            other.kill()
        for data in (found, compiling.STORE.read("kernel")):
            assert data in (b"old" * 100_000, b"new" * 100_000)
    assert list(fresh.glob("*.part")) and not compiling.STORE.warned


@pytest.mark.posix
def test_r53_who_writes_the_same_at_once_reads_it_whole(fresh):
    def work(number):
        for _ in range(40):
            compiling.STORE.write("kernel", bytes([number]) * 50_000)
            data = compiling.STORE.read("kernel")
            found.append(len(data) == 50_000 and len(set(data)) == 1)

    found = []
    helpers = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join()
    assert found == [True] * 160 and os.listdir(fresh) == ["kernel"] and not compiling.STORE.warned


@pytest.mark.slow
def test_r53_two_processes_compile_at_the_same_time(tmp_path):
    """Each has the bits of NumPy, and the third compiles nothing."""
    root = Path(firesteel.__file__).parents[1]
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: process(root, tmp_path / "cache"), range(2)))
    assert [(one, said) for one, _, said in found] == [(by_numpy(), [])] * 2
    assert process(root, tmp_path / "cache") == [by_numpy(), HAS_TEAMS and 1, []]


# A compiler that is none

FAKES = {
    "cannot be imported": {"numba": "raise ImportError('Numba needs NumPy 1.26 or less')"},
    "a broken library": {"numba": "import llvmlite", "llvmlite": "raise OSError('libllvmlite.so: cannot open')"},
    "lacks its other half": {"numba": "import llvmlite", "llvmlite": "import llvmlite.nothing"},
    "too old": {"numba": "__version__ = '0.1'"},
    "compiles nothing": {
        "numba": "class config: DISABLE_JIT = False\ndef njit(*given, **more): raise ValueError('no target')"
    },
    "dies when it begins": {"numba": "raise SystemError('unknown opcode')"},
}


@functools.cache
def by_numpy():
    """What NumPy comes to in a process of its own."""
    root, cache = Path(firesteel.__file__).parents[1], "/nowhere"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys.modules[__name__], "FIT", "import sys; sys.modules['numba'] = None\n" + FIT)
        found = process(root, cache)
    assert found == [found[0], None, []], "who has no numba is not warned"
    return found[0]


@pytest.mark.parametrize("fake", FAKES)
@pytest.mark.posix
def test_r53_without_a_compiler_numpy_does_it_and_says_so_once(fake, tmp_path):
    for name, source in FAKES[fake].items():
        tmp_path.joinpath(name).mkdir()
        tmp_path.joinpath(name, "__init__.py").write_text(source)
    (tmp_path / "firesteel").symlink_to(Path(firesteel.__file__).parent)
    found, hits, said = process(tmp_path, tmp_path / "cache")
    assert (found, hits) == (by_numpy(), None) and len(said) == 1 and "this process uses NumPy alone" in said[0], said


def test_r53_numba_that_is_switched_off_is_not_used(tmp_path):
    found, hits, said = process(Path(firesteel.__file__).parents[1], tmp_path, NUMBA_DISABLE_JIT="1")
    assert (found, hits) == (by_numpy(), None) and len(said) == 1 and "NUMBA_DISABLE_JIT is set" in said[0]


def raises(error):
    def raising(*given, **more):
        raise error

    return raising


STEPS = {
    "LLVM": ("llvmlite.binding", "parse_assembly", RuntimeError("LLVM IR parsing error")),
    "the compiler": ("numba.core.compiler", "compile_extra", NotImplementedError("opcode")),
    "memory": ("llvmlite.binding", "parse_assembly", MemoryError()),
    "keeping": ("numba.core.serialize", "dumps", pickle.PicklingError("cannot pickle")),
    "no room": ("tempfile", "mkstemp", OSError(errno.ENOSPC, "No space left on device")),
    "read-only": ("os", "mkdir", OSError(errno.EROFS, "Read-only file system")),
}


@pytest.mark.parametrize("step", STEPS)
def test_r53_a_step_of_compiling_that_fails_is_said_once(step, fresh, monkeypatch):
    alone(monkeypatch)
    module, name, error = STEPS[step]
    monkeypatch.setattr(importlib.import_module(module), name, raises(error))
    found, said = fit(**FITS["numbers"])
    assert found == expected("numbers") and len(said) == 1, said
    assert compiling.ON == isinstance(error, OSError), "where nothing can be kept it is compiled all the same"


# Calls that fail


class Failing:
    """Makes one of the calls of compiled code fail, before or after it has done its work.

    leader: count the calls of this thread alone.
    """

    def __init__(self, monkeypatch):
        self.calls, self.at, self.error, self.late, self.leader = 0, 0, None, False, False
        self.lock, call = threading.Lock(), compiling.Compiled.__call__

        def failing(kernel, *given):
            with self.lock:
                counts = not self.leader or threading.current_thread() is threading.main_thread()
                self.calls += counts
                mine = counts and self.calls == self.at
            if not mine:
                return call(kernel, *given)
            plain, kernel.dispatcher = kernel.dispatcher, self.of(kernel.dispatcher)
            try:
                return call(kernel, *given)
            finally:
                kernel.dispatcher = plain

        monkeypatch.setattr(compiling.Compiled, "__call__", failing)

    def of(self, dispatcher):
        def fails(*given):
            if self.late:
                dispatcher(*given)
            raise self.error

        return fails

    def fit(self, at, error, late, name, **more):
        """Train with a call that fails; return as `fit` does."""
        self.calls, self.at, self.error, self.late = 0, at, error, late
        compiling.ON = True
        return fit(**FITS[name], **more)


@pytest.fixture
def failing(small, monkeypatch):
    return Failing(monkeypatch)


ERRORS = [
    ValueError("a"),
    RuntimeError("b"),
    SystemError("c"),
    OSError("d"),
    TypeError("e"),
    KeyError("f"),
    EOFError(),
    MemoryError("g"),
]


@pytest.mark.parametrize("times", [6, pytest.param(34, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FITS)
def test_r53_a_call_that_fails_at_random_changes_nothing(name, times, failing):
    moments, failed = random.Random(name), 0
    assert failing.fit(0, None, False, name) == (expected(name), [])
    calls = failing.calls
    assert calls > 5 or not HAS_TEAMS
    for _ in range(times if calls else 0):
        found, said = failing.fit(moments.randrange(calls) + 1, moments.choice(ERRORS), moments.random() < 0.5, name)
        assert (found, len(said)) == (expected(name), int(not compiling.ON))
        failed += len(said)
    assert failed > times * 0.7 or not calls  # a helper that is not needed may make fewer calls than before


class Counts(Callback):
    """Notes the batches that it is called for."""

    def __init__(self):
        super().__init__()
        self.begun, self.ended = [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.begun.append(batch)

    def on_train_batch_end(self, batch, logs=None):
        self.ended.append((batch, logs["loss"]))


def test_r53_callbacks_are_called_once_for_each_batch(failing):
    counts = Counts()
    found, _ = failing.fit(0, None, False, "a team", callbacks=[counts])
    for at in range(1, failing.calls + 1, 3):
        again = Counts()
        assert failing.fit(at, ValueError(), False, "a team", callbacks=[again])[0] == found
        assert (again.begun, again.ended) == (counts.begun, counts.ended)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_r53_what_is_no_fault_of_compiled_code_is_the_callers(error, failing):
    failing.leader = True
    for at in (1, 4, 9) if HAS_TEAMS else ():
        with pytest.raises(type(error)) as raised:
            failing.fit(at, error, False, "a team")
        assert raised.value is error and compiling.ON
    assert failing.fit(0, None, False, "a team") == (expected("a team"), [])


@pytest.mark.parametrize(
    "error", [ValueError("mine"), DataError("mine", code="data"), KeyboardInterrupt(), MemoryError()], ids=repr
)
def test_r53_an_error_of_a_callback_is_raised_as_it_is(error, small):
    class Raises(Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise error

    with pytest.raises(type(error)) as raised:
        fit(callbacks=[Raises()])
    assert raised.value is error and compiling.ON


class Late(Exception):
    """What somebody's handler of an alarm raises."""


class Handlers:
    def method(self, number, frame):
        raise Late

    def __call__(self, number, frame):
        raise Late


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # Thread.start, where it is hit, is none
@pytest.mark.parametrize("times", [6, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("how", ["function", "method", "object", "partial"])
@pytest.mark.posix
def test_r53_an_error_of_a_signal_handler_is_raised_as_it_is(how, times, small):
    def function(number, frame, more=None):
        raise Late

    handlers = {"function": function, "method": Handlers().method, "object": Handlers()}
    handler = handlers.get(how) or functools.partial(function, more=1)
    moments, before = random.Random(how), signal.signal(signal.SIGALRM, handler)

    class Begins(Callback):
        def on_train_begin(self, logs=None):
            signal.setitimer(signal.ITIMER_REAL, 0.0005 + moments.random() * 0.02, 1)  # Python may drop one

    fit()  # what is interrupted as it is imported may be lost
    try:
        for _ in range(times):
            with pytest.raises(Late):
                fit(epochs=100_000, callbacks=[Begins()])
            assert compiling.ON
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


FIRST = """
import signal, sys
from firesteel.fast import compiling
from firesteel.fast.kernels import optimizers, rows
def interrupts(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupts)
signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
try:
    while True:
        compiling.compiled(optimizers.adam, compiling.WORTH)
except KeyboardInterrupt:
    print("numba.core.compiler" not in sys.modules)
compiling.compiled(optimizers.adam, compiling.WORTH)
"""


def interrupted(seconds):
    """Interrupt what imports numba; return whether that was before its end, if numba can be used all the same."""
    return subprocess.check_output([sys.executable, "-c", FIRST, str(seconds)], text=True) == "True\n"


@pytest.mark.posix
def test_r53_who_is_interrupted_as_numba_is_imported_can_use_it_later():
    interrupted(0.05)


@pytest.mark.slow
@pytest.mark.posix
def test_r53_who_is_interrupted_at_any_moment_of_that_can_use_it_later():
    assert sum(map(interrupted, np.linspace(0.01, 1, 40))) > 5


def test_r53_an_error_that_a_caller_has_caught_before_is_not_raised_again(failing):
    """As where somebody tries smaller batches after a MemoryError."""
    for outer in (MemoryError("before"), Late("before")):
        try:
            raise outer
        except (MemoryError, Late):
            found, said = failing.fit(1, ValueError(), False, "a team")
        assert (found, len(said)) == (expected("a team"), int(HAS_TEAMS))


# Beside others

BUSY = {
    "a team": ((Dense(128, "relu"), Dense(10, "softmax")), 784, 6000, 128),
    "chains": ((Dense(256, "relu"), Dropout(0.3), Dense(10, "softmax")), 784, 6000, 256),
    "a small team": ((Dense(256, "relu"), Dense(128, "relu"), Dense(10, "softmax")), 64, 3000, 64),
}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", BUSY)
def test_r53_beside_busy_processes_a_fit_is_hardly_slower_than_without_numba(name, monkeypatch):
    layers, inputs, rows, size = BUSY[name]
    x, y = RNG.integers(0, 256, (rows, inputs)).astype(np.uint8), np.arange(rows) % 10
    seconds = {True: [], False: []}
    fit(layers, x, y, batch_size=size)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        for number in range(30):
            monkeypatch.setattr(compiling, "ON", number % 2 == 0)
            begun = time.perf_counter()
            fit(layers, x, y, batch_size=size)
            seconds[compiling.ON].append(time.perf_counter() - begun)
    finally:
        for one in busy:
            one.kill()
            one.wait()
    compiled, plain = map(np.median, seconds.values())
    print(f"{name}: {compiled:.2f} s compiled, {plain:.2f} s without numba")
    assert compiled < 1.2 * plain
