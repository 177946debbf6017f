"""An OpenVINO IR whose input leaves its size open, with the sizes that every layer has at a given one.

Only OpenVINO knows them, and it runs in a process of its own: a hostile file could crash it, and with it the program.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pipeline.formats.graph.ir_layers import IrLayer, read_layers
from pipeline.system.errors import Unpredictable
from pipeline.system.programs import Failed, run

_TIME_LIMIT_S = 120.0
_RESIZE = """
import sys, openvino
source, target, *shape = sys.argv[1:]
model = openvino.Core().read_model(source)
model.reshape({0: openvino.PartialShape([int(size) for size in shape])})
openvino.serialize(model, target, "/dev/null")
"""


def resized(path: Path, shape: Sequence[int]) -> list[IrLayer]:
    """The layers of the IR `path` for an input of `shape`, in the order of `read_layers`.

    Raises:
        Unpredictable: OpenVINO is not installed here, or does not take the model or the size.
        BadModel: see `read_layers`.
    """
    with tempfile.TemporaryDirectory(prefix="edgeproof-") as folder:
        target = Path(folder) / "resized.xml"
        sizes = [str(size) for size in shape]
        try:
            run([sys.executable, "-c", _RESIZE, path.resolve(), target, *sizes], _TIME_LIMIT_S)
        except Failed as error:
            reason = str(error).rpartition("Error: ")[2]  # without the name of Python's exception
            raise Unpredictable(f"{path}: OpenVINO does not fix its size to {'x'.join(sizes)}: {reason}") from error
        return read_layers(target)
