"""Speed: compiled loops, teams of threads, one BLAS thread.  Without them NumPy computes the same bits.

Importing this package registers the loops that layers, optimizers and blocks request through `core/faster.py`.
"""

from functools import partial

from firesteel.core.faster import SUPPLY
from firesteel.fast.compiling import compiled, compiled_if_loaded
from firesteel.fast.kernels import optimizers, random, rows

__all__: list[str] = []

SUPPLY |= {name: partial(compiled, loop) for name, loop in optimizers.LOOPS.items()}
SUPPLY |= {loop.__name__: partial(compiled, loop) for loop in (rows.gather, random.mask)}
SUPPLY["bins"] = partial(compiled_if_loaded, rows.bins)
