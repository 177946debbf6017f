"""Build a TensorRT engine from an ONNX file, on the board that will run it.

Python 3.6 and TensorRT 8.2, as JetPack 4.6 has them; nothing else. Equal to the `trtexec` line in recipe.json:
one optimisation profile for 1 to 4 regions, best at 4, and 1 GiB of workspace.
"""

import argparse
import os
import sys

WORKSPACE_BYTES = 1 << 30
REGIONS = (1, 4, 4)  # least, best, most


def build(source: str, engine_file: str, size: int, half: bool) -> None:
    """Parse `source` (ONNX), build and write `engine_file`; exits with one line when TensorRT cannot."""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.WARNING)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.EXPLICIT_BATCH))
    parser = trt.OnnxParser(network, logger)
    with open(source, "rb") as stream:
        if not parser.parse(stream.read()):
            sys.exit("{}: {}".format(source, "; ".join(str(parser.get_error(i)) for i in range(parser.num_errors))))

    config = builder.create_builder_config()
    config.max_workspace_size = WORKSPACE_BYTES
    if half:
        if not builder.platform_has_fast_fp16:
            sys.exit("this GPU has no fast FP16: the engine would run in FP32 without a word")
        config.set_flag(trt.BuilderFlag.FP16)
    profile = builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, *[(count, 3, size, size) for count in REGIONS])
    config.add_optimization_profile(profile)

    engine = builder.build_serialized_network(network, config)
    if engine is None:
        sys.exit("{}: TensorRT could not build an engine; its log above says why".format(source))
    with open(engine_file + ".part", "wb") as stream:
        stream.write(engine)
    os.replace(engine_file + ".part", engine_file)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("onnx")
    parser.add_argument("engine")
    parser.add_argument("--size", type=int, default=224, help="side of a region in pixels")
    parser.add_argument("--fp16", action="store_true", help="allow FP16 kernels")
    arguments = parser.parse_args()
    build(arguments.onnx, arguments.engine, arguments.size, arguments.fp16)


if __name__ == "__main__":
    main()
