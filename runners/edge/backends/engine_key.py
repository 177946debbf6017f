"""What a TensorRT engine depends on: the board, its JetPack and TensorRT, the network, the recipe, and the builder.

Python 3.6 with its standard library.
"""

import hashlib
import json
import os
from typing import Any, Dict

from runners.contract import engine_recipe
from runners.edge.backends import build_engine
from runners.edge.backends.unusable import Unusable

SOC, JETPACK = "/proc/device-tree/compatible", "/etc/nv_tegra_release"


def facts(folder: str, tensorrt: str) -> Dict[str, Any]:
    """All that decides the engine of the model in `folder` on this board, by the TensorRT of this version.

    Raises:
        Unusable: this is no Jetson, or the folder has no model or no recipe for TensorRT.
    """
    # The device tree's names of the board and of its chip, the most special first, each with a zero behind it.
    soc = " ".join(_text(SOC).strip("\0").split("\0"))
    try:
        recipe = engine_recipe.read(os.path.join(folder, engine_recipe.NAME))
        model, builder = sha256(os.path.join(folder, engine_recipe.MODEL)), sha256(build_engine.__file__)
    except (OSError, ValueError) as error:
        raise Unusable("{}: no model for TensorRT ({})".format(folder, error)) from error
    return {
        "soc": soc,
        "jetpack": _text(JETPACK).split("\n")[0],
        "tensorrt": tensorrt,
        "model": model,
        "recipe": recipe._asdict(),
        "regions": list(engine_recipe.REGIONS),
        "workspace_mib": engine_recipe.WORKSPACE_MIB,
        "builder": builder,
    }


def key(of: Dict[str, Any]) -> str:
    """The hash of such facts, in hexadecimal digits."""
    return hashlib.sha256(json.dumps(of, sort_keys=True).encode("utf-8")).hexdigest()


def sha256(path: str) -> str:
    """The hash of a file, in hexadecimal digits; OSError if it cannot be read."""
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as stream:
            return stream.read()
    except OSError as error:
        raise Unusable("this is no Jetson with JetPack 4: {} cannot be read ({})".format(path, error)) from error
