"""A small fit is a short walk: the calls, files and moves of one do not grow."""

from tests.walk import MOST, counted, measured


def test_a_small_fit_stays_a_short_walk():
    found = counted(measured())
    assert {name: found[name] for name, most in MOST.items() if found[name] > most} == {}
    assert found["calls"] > 0.9 * MOST["calls"], "lower MOST in walk.py"
