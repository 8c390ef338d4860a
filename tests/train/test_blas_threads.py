"""BLAS has one thread where products are made, in whatever thread that is, and as many as before afterwards."""

import dis
import itertools
import json
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from firesteel.callbacks import LambdaCallback
from firesteel.core.network import Network, Objective
from firesteel.fast import blas, chain
from firesteel.fast.blas import BLAS, Blas, one_blas_thread
from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.train.engine import machine
from firesteel.train.fused import FusedStep
from firesteel.train.rowwise import RowwiseStep
from firesteel.train.step import NumpyStep

ROOT = Path(__file__).parents[2]
SOME = ["784-128-10", "784-512-512-10", "784-tanh-1", "sparse rows"]


def layouts(networks=(), without=()):
    """Run the program that fits in every layout of threads, without these packages; return what it prints."""
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({list(without)}))\n"
    code += f"sys.argv[1:] = {list(networks)}; runpy.run_module('tests.support.layouts', run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    "networks, without", [((), ()), (SOME, ["numba", "threadpoolctl"])], ids=["all", "some, without numba"]
)
@pytest.mark.linux
def test_r48_every_layout_of_threads_gives_the_same_bits_and_leaves_blas_as_it_was(networks, without):
    told = layouts(networks, without)
    assert len(told) == len(networks or range(20)) and all(len(found) == 12 for found in told.values())
    for name, found in told.items():
        assert len({bits for bits, _ in found.values()}) == 1, (name, found)
        assert {threads for _, threads in found.values()} == {2}, (name, found)


FORKED = """
import os, threading, time
import numba
from numba.core.compiler_lock import global_compiler_lock
from firesteel.core.types import cached_property
import firesteel.models

class Slow:
    @cached_property
    def value(self):
        begun.set()
        time.sleep(0.5)
        return 1

def compiling():
    with global_compiler_lock:
        Slow().value

begun = threading.Event()
threading.Thread(target=compiling).start()
begun.wait()
child = os.fork()
if not child:
    once = threading.Thread(target=compiling, daemon=True)
    once.start()
    once.join(20)
    os._exit(once.is_alive())
assert os.waitpid(child, 0)[1] == 0, "the child waits for a lock"
"""


@pytest.mark.linux
def test_a_child_that_is_forked_while_another_thread_is_busy_waits_for_nothing():
    """Python 3.11's cached_property has a lock, and numba's compiler has one."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], check=True, cwd=ROOT)


@pytest.mark.parametrize("children", [1, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("without", [[], ["numba"]], ids=["with numba", "without"])
@pytest.mark.linux
def test_r48_children_forked_beside_the_first_fits_of_a_process_end_with_its_bits(without, children):
    """The first one is forked while what a fit needs is being imported."""
    code = f"import sys; sys.modules.update(dict.fromkeys({without}))\n"
    code += "from tests.support import layouts; layouts.BLAS.put(2); layouts.THREADS = 2\n"
    code += f"found = {{layouts.forked_beside_a_fit('784-64-10') for _ in range({children})}}\n"
    code += "print(found == {layouts.fitted('784-64-10')})"
    command = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True).stdout == "True\n"


# With a BLAS that is made up


class Library:
    """A BLAS of eight threads, with one number for the process or one for each thread; it has `least` at least."""

    def __init__(self, local, least=1):
        self.all, self.own, self.local, self.least = 8, threading.local(), local, least

    def get(self):
        return getattr(self.own, "number", 8) if self.local else self.all

    def put(self, number):
        if self.local:
            self.own.number = max(number, self.least)
        else:
            self.all = max(number, self.least)


def installed(monkeypatch, library):
    for name, value in {"get": library.get, "put": library.put, "local": None, "warned": False}.items():
        monkeypatch.setattr(BLAS, name, value)
    return library


@pytest.fixture(params=[False, True], ids=["one number", "a number a thread"])
def library(request, monkeypatch):
    return installed(monkeypatch, Library(request.param))


def test_it_is_found_out_whether_each_thread_has_a_number(library):
    with one_blas_thread():
        assert BLAS.local is library.local
    assert library.get() == 8


@pytest.mark.parametrize("order", sorted(set(itertools.permutations("AABBCC"))), ids="".join)
def test_contexts_begin_and_end_in_any_order_in_any_threads(library, order):
    pools, holds = {name: ThreadPoolExecutor(1) for name in "ABC"}, {}

    def step(name):
        if name in holds:
            holds.pop(name).__exit__(None, None, None)
        else:
            holds[name] = one_blas_thread()
            holds[name].__enter__()

    for name in order:
        pools[name].submit(step, name).result()
        numbers = {other: pools[other].submit(library.get).result() for other in "ABC"}
        assert all(numbers[other] == 1 for other in holds)
        if library.local:
            assert all(numbers[other] == 8 for other in "ABC" if other not in holds)
    assert set(numbers.values()) == {8} and not BLAS.users and not BLAS.kept


def test_contexts_in_one_another_end_with_the_outermost(library):
    with one_blas_thread():
        with pytest.raises(KeyError), one_blas_thread():
            raise KeyError
        assert library.get() == 1
    assert library.get() == 8


def test_ctrl_c_at_any_moment_leaves_blas_as_it_was(library):
    """Python sees signals when a function begins and after each call; all those moments are tried."""
    codes = {one.__code__ for kind in (Blas, type(one_blas_thread())) for one in vars(kind).values() if callable(one)}
    calls = {code: {at.offset for at in dis.get_instructions(code) if at.opname.startswith("CALL")} for code in codes}

    def interrupted(moment):
        left, last = moment, {}

        def trace(frame, event, argument):
            nonlocal left
            frame.f_trace_opcodes = True
            if event == "call":
                last[id(frame)] = -1
            if event == "opcode" and frame.f_code in codes:
                left -= last[id(frame)] in calls[frame.f_code] | {-1}
                last[id(frame)] = frame.f_lasti
                if not left:
                    raise KeyboardInterrupt
            return trace

        sys._getframe().f_trace_opcodes = True  # Python 3.12 asks for one frame that has it already
        sys.settrace(trace)
        try:
            with one_blas_thread():
                pass
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
        return False

    moments = late = 0
    while interrupted(moments + 1):
        moments += 1
        late += library.get() != 8
        with one_blas_thread():  # the next one mends what has been cut short before the first line of an exit
            pass
        assert library.get() == 8 and not BLAS.users and not BLAS.kept, moments
        BLAS.local = None
    assert moments > 20 and late <= 1


@pytest.mark.filterwarnings("error")
def test_a_blas_that_cannot_be_limited_is_warned_of_once_and_named_by_the_machine(monkeypatch):
    installed(monkeypatch, Library(False, least=3))
    with pytest.warns(UserWarning, match="cannot be limited to one thread .3 threads.*OPENBLAS_NUM_THREADS"):
        fitted = fit()
    assert fitted.history.machines == {f"{machine()} 3 threads"}
    assert fit().history.machines == fitted.history.machines  # and no second warning


@pytest.mark.filterwarnings("error")
def test_a_blas_whose_threads_cannot_be_counted_is_warned_of_too(monkeypatch):
    installed(monkeypatch, Library(False))
    monkeypatch.setattr(BLAS, "known", False)
    with pytest.warns(UserWarning, match="threads unknown"):
        assert fit().history.machines == {f"{machine()} threads unknown"}


def fit():
    model = Sequential([Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(np.eye(3), np.arange(3), verbose=0)
    return model


def test_in_a_forked_child_nobody_holds_it(library):
    with one_blas_thread():
        BLAS.lock.acquire()
        BLAS.forked()
        assert library.get() == 8 and not BLAS.users and not BLAS.kept
        with one_blas_thread():
            assert library.get() == 1
        assert library.get() == 8
    assert library.get() == 8


@pytest.mark.parametrize("names", blas.PAIRS)
def test_other_libraries_are_called_by_their_names(names, monkeypatch):
    """No library of these is here, so what is looked up is looked up in one that is made up."""
    library, asked = Library(False), []

    class Linked:
        def __init__(self, file):
            asked.append(file)

        def __getattr__(self, name):
            if name not in names:
                raise AttributeError(name)
            return library.get if name == names[0] else library.put

    monkeypatch.setattr(blas.ctypes, "CDLL", Linked)
    monkeypatch.setattr(blas.ctypes, "PyDLL", Linked)
    made = blas.found("numpy.so")
    assert (made.get, made.put) == (library.get, library.put) and asked == ["numpy.so"] * 2
    assert made.swaps == (names == blas.MKL)


# With others who change the number meanwhile

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(900, 784)).astype(np.float32), RNG.integers(0, 10, 900)
ZEROS = np.zeros((900, 5000), np.float32)
ZEROS[np.arange(900)[:, None], RNG.integers(0, 5000, (900, 50))] = 1.5


def network():
    model = Sequential([Dense(128, "relu"), Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def trained(x, **settings):
    model = network()
    model.fit(x, Y, batch_size=256, verbose=0, **settings)
    return model.fingerprint()


def used(method):
    model = network()
    model.fit(X, Y, verbose=0)
    return np.asarray(getattr(model, method)(X, *([Y, None, 0] if method == "evaluate" else []))).tobytes()


LEARNS = FusedStep if chain.loops("float32") else NumpyStep
"""What takes the steps of this network."""
MADE = {
    "dense": ((LEARNS, "learn"), lambda: trained(X)),
    "sharded": ((LEARNS, "learn"), lambda: trained(X, shards=2)),
    "gradient": ((LEARNS, "learn"), lambda: trained(X, strategy="gradient", epochs=2)),
    "sparse": ((RowwiseStep, "learn"), lambda: trained(ZEROS)),
    "evaluate": ((Objective, "score"), lambda: used("evaluate")),
    "predict": ((Network, "output"), lambda: used("predict")),
}


def elsewhere(function, *arguments):
    with ThreadPoolExecutor(1) as pool:
        pool.submit(function, *arguments).result()


@pytest.fixture
def two_threads():
    before = BLAS.get()
    BLAS.put(2)
    yield
    assert BLAS.get() == 2
    BLAS.put(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("what", MADE)
@pytest.mark.linux
def test_what_is_made_while_somebody_changes_the_number_is_made_again(what, monkeypatch):
    (owner, name), make = MADE[what]
    original, calls, when = getattr(owner, name), [], 0

    def counted(*args, **more):
        calls.append(None)
        if len(calls) == when:
            elsewhere(BLAS.put, 2)
        return original(*args, **more)

    monkeypatch.setattr(owner, name, counted)
    expected, count, when = make(), len(calls), len(calls) - 1
    calls.clear()
    assert make() == expected and len(calls) > count


@pytest.mark.usefixtures("two_threads")
@pytest.mark.linux
def test_callbacks_are_called_once_for_each_batch_of_a_round_that_is_made_again(monkeypatch):
    original, calls, batches = LEARNS.learn, [], []

    def counted(*args):
        calls.append(None)
        if len(calls) == 3:
            elsewhere(BLAS.put, 2)
        return original(*args)

    monkeypatch.setattr(LEARNS, "learn", counted)
    watching = {f"on_batch_{word}": lambda batch, logs, word=word: batches.append((batch, word)) for word in ENDS}
    found = trained(X, callbacks=[LambdaCallback(**watching)])
    assert len(calls) == 8 and batches == [(batch, word) for batch in range(4) for word in ENDS]
    monkeypatch.undo()
    assert found == trained(X)


ENDS = ("begin", "end")


def test_helpers_whose_threads_have_numbers_of_their_own_are_limited_and_nothing_is_made_twice(library, monkeypatch):
    monkeypatch.setattr("firesteel.fast.threads.worker_threads", lambda: 3)
    original, seen, changes = Objective.score, [], BLAS.changes

    def counted(*args):
        time.sleep(0.02)  # so that each thread has some of it
        seen.append((threading.get_ident(), library.get()))
        return original(*args)

    monkeypatch.setattr(Objective, "score", counted)
    network().evaluate(X, Y, verbose=0)
    assert len({thread for thread, _ in seen}) == 3 and {number for _, number in seen} == {1}
    assert BLAS.changes == changes and library.get() == 8


@pytest.mark.filterwarnings("error")
@pytest.mark.usefixtures("two_threads")
@pytest.mark.linux
def test_somebody_who_changes_it_without_end_is_warned_of(monkeypatch):
    monkeypatch.setattr(BLAS, "warned", False)
    original = LEARNS.learn

    def disturbed(*args, **more):
        BLAS.put(2)
        return original(*args, **more)

    monkeypatch.setattr(LEARNS, "learn", disturbed)
    with pytest.warns(UserWarning, match="other code keeps changing its number of threads"):
        trained(X)


@pytest.mark.parametrize(
    "before, meanwhile, after", [(8, 3, 8), (1, 8, 8)], ids=["a limit inside", "the end of a limit"]
)
def test_what_somebody_changes_meanwhile_is_no_number_to_put_back_unless_it_ends_a_limit(
    before, meanwhile, after, monkeypatch
):
    library = installed(monkeypatch, Library(False))
    library.put(before)
    with one_blas_thread():
        elsewhere(library.put, meanwhile)
        with one_blas_thread():
            assert library.get() == 1
        assert library.get() == 1
    assert library.get() == after


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.linux
def test_a_user_s_own_limit_stays(where):
    """threadpoolctl lets one thread alone limit OpenBLAS, whichever came first."""
    limits = ThreadpoolController().limit
    with limits(limits=2, user_api="blas"):
        for number in (1, 2):
            with limits(limits=number, user_api="blas"):
                if where == "before":
                    elsewhere(fit)
                fit()
                assert BLAS.get() == number


def test_a_helper_that_looks_while_the_last_user_leaves_does_not_leave_one_thread():
    """It saw the number that had been put back, and a user that was still there, and set one thread for good."""
    number, leaving, looked = [2], threading.Event(), threading.Event()

    def put(count):
        number[0] = count
        if count == 2:
            leaving.set()
            looked.wait(0.5)  # inside `drop`, before the user is gone

    made, user = Blas(lambda: number[0], put), object.__new__(type("User", (), {}))
    made.local = False
    made.take(user)

    def helper():
        leaving.wait()
        made.check()
        looked.set()

    other = threading.Thread(target=helper)
    other.start()
    made.drop(user)
    other.join()
    assert number == [2] and not made.users
