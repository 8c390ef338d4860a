"""`firesteel inspect`: what is in a model's file, without rows and without Spark.

The fingerprint is of architecture and weights; the checksum is that of the file's whole content.
"""

from pathlib import Path
from typing import Any

from firesteel import _store as store
from firesteel.cli.options import Json, print_json
from firesteel.cli.trained import trained
from firesteel.errors import without_secrets


def inspect(model: Path, /, *, as_json: Json = False) -> None:
    """Show a model: its layers, its parameters, what it was compiled with, its checksum and its fingerprint.

    Parameters
    ----------
    model
        A model's file, or a run folder.
    as_json
        Print one line of JSON.
    """
    known = trained(model)
    data = store.read(known.path)
    network, _, header, _ = store.from_bytes(data, str(known.path))
    compiled = known.model.get_compile_config()
    facts = {
        "file": without_secrets(str(known.path)),
        "bytes": len(data),
        "format": header["format"],
        "dtype": network.dtype,
        "inputs": network.inputs,
        "outputs": network.outputs,
        "parameters": network.layout.size,
        "compiled": compiled,
        "class_names": None if known.names is None else list(known.names),
        "checksum": header["sha256"],
        "fingerprint": known.model.fingerprint(),
    }
    if as_json:
        print_json(facts | {"layers": [layer.to_config() for layer in network.layers]})
        return
    known.model.summary()
    print(f"file        {facts['file']}, {len(data):,} bytes, format {header['format']}, {network.dtype}")
    if compiled is None:
        print("compiled    no")
    else:
        for name in ("optimizer", "loss", "metrics"):
            print(f"{name:<12}{_shown(compiled[name])}")
    if known.names is not None:
        print(f"classes     {', '.join(known.names)}")
    print(f"checksum    {header['sha256']}")
    print(f"fingerprint {facts['fingerprint']}")


def _shown(value: Any) -> str:
    """Return a description in one line.

    >>> _shown({"type": "SGD", "learning_rate": 0.1, "weight_decay": None})
    'SGD(learning_rate=0.1)'
    """
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={_shown(v)}" for k, v in value.items() if k != "type" and v not in (None, ()))
        return f"{value.get('type')}({inner})"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(item) for item in value[:4]) + (", ..." if len(value) > 4 else "")
    return str(value)
