"""What makes firesteel faster: compiled loops, threads that meet, one BLAS thread.  NumPy does the same without them.

Importing it plugs the loops that layers, optimizers and blocks ask for into `core/faster.py`.
"""

from functools import partial

from firesteel.core.faster import SUPPLY
from firesteel.fast.compiling import at_hand, compiled
from firesteel.fast.kernels import optimizers, random, rows

__all__: list[str] = []

SUPPLY |= {name: partial(compiled, loop) for name, loop in optimizers.LOOPS.items()}
SUPPLY |= {loop.__name__: partial(compiled, loop) for loop in (rows.gather, random.mask)}
SUPPLY["bins"] = partial(at_hand, rows.bins)
