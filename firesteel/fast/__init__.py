"""What makes firesteel faster: compiled loops, threads that meet, one BLAS thread.  NumPy does the same without them.

Importing it plugs the loops that layers, optimizers and blocks ask for into `core/faster.py`.
"""

from collections.abc import Callable

from firesteel.core.faster import SUPPLY
from firesteel.fast import compiling
from firesteel.fast.kernels.optimizers import adam
from firesteel.fast.kernels.random import mask
from firesteel.fast.kernels.rows import gather

__all__: list[str] = []

LOOPS: dict[str, Callable[..., None]] = {"adam": adam, "gather": gather, "mask": mask}
SUPPLY[:] = [lambda name, numbers: compiling.compiled(LOOPS[name], numbers)]
