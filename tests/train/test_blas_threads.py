"""BLAS has one thread where products are made, in whatever thread that is, and as many as before afterwards."""

import itertools
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from firesteel.layers import Dense
from firesteel.models import Sequential
from firesteel.train import blas
from firesteel.train.blas import BLAS, Blas, one_blas_thread
from firesteel.train.engine import machine

ROOT = Path(__file__).parents[2]
SOME = ["784-128-10", "784-512-512-10", "784-tanh-1", "sparse rows"]


def layouts(networks=(), without=()):
    """Run the program that fits in every layout of threads, without these packages; return what it prints."""
    code = f"import runpy, sys; sys.modules.update(dict.fromkeys({list(without)}))\n"
    code += f"sys.argv[1:] = {list(networks)}; runpy.run_module('tests.layouts', run_name='__main__')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return json.loads(run.stdout)


@pytest.mark.parametrize(
    "networks, without", [((), ()), (SOME, ["numba", "threadpoolctl"])], ids=["all", "some, without numba"]
)
def test_r48_every_layout_of_threads_gives_the_same_bits_and_leaves_blas_as_it_was(networks, without):
    told = layouts(networks, without)
    assert len(told) == len(networks or range(20)) and all(len(found) == 12 for found in told.values())
    for name, found in told.items():
        assert len({bits for bits, _ in found.values()}) == 1, (name, found)
        assert {threads for _, threads in found.values()} == {2}, (name, found)


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
    """Ctrl-C comes between any two instructions of what begins and ends a context."""
    codes = {one.__code__ for kind in (Blas, type(one_blas_thread())) for one in vars(kind).values() if callable(one)}

    def interrupted(moment):
        left = moment

        def trace(frame, event, argument):
            nonlocal left
            frame.f_trace_opcodes = True
            left -= event == "opcode" and frame.f_code in codes
            if not left:
                left -= 1
                raise KeyboardInterrupt
            return trace

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
    assert moments > 100 and late <= 3


@pytest.mark.filterwarnings("error")
def test_a_blas_that_does_not_obey_is_warned_of_once_and_told_by_the_machine(monkeypatch):
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
