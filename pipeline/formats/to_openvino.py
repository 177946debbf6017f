"""From an ONNX file to an OpenVINO IR, the same bytes for the same model."""

import errno
import re
from pathlib import Path
from typing import Any

from pipeline.system.errors import BadModel


def write_openvino(source: Path, folder: Path) -> None:
    """Convert the ONNX file `source` to an IR, `folder`/model.xml and .bin.

    Raises:
        InputError: OpenVINO cannot convert it.
        OSError: the disk is full.
    """
    import openvino

    folder.mkdir()
    try:
        model = openvino.convert_model(source)
        _number_anew(model)
        openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    except OSError:
        raise
    except Exception as error:  # that of a RuntimeError, and of its converter kinds of their own without a base
        if "iostream error" in str(error):  # all that OpenVINO says where it cannot write on
            raise OSError(errno.ENOSPC, "No space left on device") from error
        raise BadModel(f"{source}: OpenVINO cannot convert it: {str(error).strip().splitlines()[-1]}") from error


def _number_anew(model: Any) -> None:
    """Name what has no name of its own by its place in the model. OpenVINO names it by how many operations the process
    has made before, so that the same model would give other files."""
    for index, op in enumerate(model.get_ordered_ops()):
        kind = op.get_type_name()
        # A constant can have the automatic name of the operations that were folded into it.
        automatic = r"[A-Z][A-Za-z]*_\d+" if kind == "Constant" else rf"{kind}_\d+"
        if re.fullmatch(automatic, op.get_friendly_name()):
            op.set_friendly_name(f"{kind}_{index}")
