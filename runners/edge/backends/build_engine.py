"""Build a TensorRT engine from an ONNX file and the recipe beside it, on the board that will run it.

    python3 -m runners.edge.backends.build_engine recipe.json model.engine

Python 3.6 and TensorRT 8.2, as JetPack 4.6 has them; nothing else. Equal to the `trtexec` line in the recipe, where
there is one: one optimisation profile for 1 to 4 regions, best at 4, and 1 GiB of workspace. Layers that the recipe
lists as `fp32_layers`, because they overflow FP16, are held to FP32, which `trtexec` cannot do.
"""

import argparse
import os
import re
import sys
from typing import Any, Sequence

from runners.contract import engine_recipe
from runners.contract.engine_recipe import Recipe


def build(source: str, engine_file: str, recipe: Recipe) -> None:
    """Parse `source` (ONNX), build and write `engine_file`; exits with one line when TensorRT cannot.

    The ONNX nodes that the recipe names calculate and write FP32, also where FP16 is allowed.
    """
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    parser = trt.OnnxParser(network, logger)
    with open(source, "rb") as stream:
        if not parser.parse(stream.read()):
            sys.exit("{}: {}".format(source, "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))))

    config = builder.create_builder_config()
    config.max_workspace_size = engine_recipe.WORKSPACE_MIB << 20
    # The engine then tells in what its layers really calculate (engine_runner.py); it is none the slower for it.
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if recipe.half:
        if not builder.platform_has_fast_fp16:
            sys.exit("this GPU has no fast FP16: the engine would run in FP32 without a word")
        config.set_flag(trt.BuilderFlag.FP16)
        if recipe.fp32_layers:
            config.set_flag(trt.BuilderFlag.OBEY_PRECISION_CONSTRAINTS)
            _hold_to_fp32(network, recipe.fp32_layers)
    profile = builder.create_optimization_profile()
    profile.set_shape(
        network.get_input(0).name, *[(count, 3, recipe.size, recipe.size) for count in engine_recipe.REGIONS]
    )
    config.add_optimization_profile(profile)

    engine = builder.build_serialized_network(network, config)
    if engine is None:
        sys.exit("{}: TensorRT could not build an engine; its log above says why".format(source))
    with open(engine_file + ".part", "wb") as stream:
        stream.write(engine)
    os.replace(engine_file + ".part", engine_file)


def _hold_to_fp32(network: Any, nodes: Sequence[str]) -> None:
    """Set the precision of the layers that the parser made of these ONNX nodes.

    It gives the first layer of a node the node's name, and others the same with a number (`fc`, `fc_12`). A layer
    of another node may be called so, too; it stays in FP32 with them, slower but not wrong.
    """
    import tensorrt as trt

    missing = set(nodes)
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        named = {layer.name, re.sub(r"_\d+$", "", layer.name)}.intersection(nodes)
        outputs = range(layer.num_outputs)
        # Layers that calculate shapes, in whole numbers, take no other type.
        if named and all(layer.get_output(i).dtype in (trt.float32, trt.float16) for i in outputs):
            layer.precision = trt.float32
            for output in outputs:
                layer.set_output_type(output, trt.float32)
            missing -= named
    if missing:
        sys.exit("no layer of the network has the name {}, which is to stay in FP32".format(", ".join(sorted(missing))))


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe", help="recipe.json, as exported; the ONNX file lies beside it")
    parser.add_argument("engine", help="the file to write")
    arguments = parser.parse_args()
    try:
        recipe = engine_recipe.read(arguments.recipe)
    except ValueError as error:
        sys.exit(str(error))
    build(os.path.join(os.path.dirname(arguments.recipe), engine_recipe.MODEL), arguments.engine, recipe)


if __name__ == "__main__":
    main()
