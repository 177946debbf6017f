"""A model file, opened and judged before any runtime gets it.

Neither OpenVINO nor ONNX Runtime is loaded here: a hostile file could crash them, and with them the program. What
is read is only parsed, bounded by the size of the files that hold it.
"""

from dataclasses import dataclass
from pathlib import Path

from pipeline.formats import readers
from pipeline.formats.axes import Layout, channels_height_width
from pipeline.formats.contents import Contents, Shape, Tensor, identity
from pipeline.records.targets import Precision
from pipeline.system import files
from pipeline.system.errors import BadModel
from runners.contract import model_input
from runners.contract.model_input import ModelInput

MOST_VALUES = 1 << 26  # of one batch: 256 MiB in FP32
PICTURES = (1, 3)  # channels that tell which dimension they are
PIXELS = "uint8"  # of a network that takes pictures as they are, 0 to 255


@dataclass(frozen=True)
class ModelFile:
    """What a model file says about itself.

    `format` is the name of its reader. `sha256` is the file's; of several files (weights beside an ONNX file, an IR's
    .bin) it is that of their hashes. `size_bytes` counts them all. `input_shape` is as the file has it, None where a
    dimension is free; `height` and `width` are those it will be fed with. `batch` is None where it is free. `classes`
    is None where the first output does not show them. `precision` is that of the weights. A network that
    `takes_pixels` takes them as they are, 0 to 255 in 8 bits, and scales them itself. `wanted` is what input.json says,
    where it lies beside the file: how the network that this project exported wants its images.
    """

    path: Path
    format: str
    sha256: str
    size_bytes: int
    input_name: str
    input_shape: Shape
    layout: Layout
    channels: int
    height: int
    width: int
    outputs: tuple[Tensor, ...]
    classes: int | None
    precision: Precision
    takes_pixels: bool = False
    wanted: ModelInput | None = None

    @property
    def batch(self) -> int | None:
        """How many samples it takes at once, None where that is free."""
        return self.input_shape[0]

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """The dimensions of one sample in the order of `layout`."""
        if self.layout == "nchw":
            return self.channels, self.height, self.width
        return self.height, self.width, self.channels


def open_model(path: Path, *, size: tuple[int, int] | None = None, layout: Layout | None = None) -> ModelFile:
    """Open an ONNX file (.onnx, with its external weights) or an OpenVINO IR (.xml, with its .bin beside it).

    `size` is the (height, width) that a model with free ones is fed with. Without `layout`, a last dimension of 1 or 3
    means NHWC where the second is neither; else it is NCHW.

    Raises:
        InputError: the file is missing, empty, damaged or no model; its weights are missing, truncated, outside its
            folder or no numbers; it takes more than one input or none like an image; `size` or `layout` do not fit.
    """
    files.check_name(path)
    try:
        if path.is_dir():
            suffixes = " or ".join(readers.reader(name).SUFFIX for name in readers.names())
            raise BadModel(f"{path}: is a folder; give the {suffixes} file in it")
        contents = readers.of(path).contents(path)
        sha256, size_bytes = identity(contents.files)
    except OSError as error:
        raise BadModel(f"{path}: cannot be read ({error.strerror or error})") from error
    shape = _input_shape(path, contents)
    layout = layout or _layout(shape)
    channels, height, width = _sample(path, shape, layout, size)
    return ModelFile(
        path=path,
        format=readers.name_of(path),
        sha256=sha256,
        size_bytes=size_bytes,
        input_name=contents.inputs[0].name,
        input_shape=shape,
        layout=layout,
        channels=channels,
        height=height,
        width=width,
        outputs=tuple(contents.outputs),
        classes=single_width(contents.outputs[0].shape),
        precision=contents.precision,
        takes_pixels=contents.inputs[0].type == PIXELS,
        wanted=_wanted(path),
    )


def _wanted(path: Path) -> ModelInput | None:
    beside = path.parent / model_input.NAME
    if not beside.is_file():
        return None
    try:
        return model_input.read(str(beside))
    except ValueError as error:
        raise BadModel(f"{error}; export it again, or take that file away") from error


def _input_shape(path: Path, contents: Contents) -> Shape:
    if not contents.outputs:
        raise BadModel(f"{path}: the model has no outputs")
    if len(contents.inputs) != 1:
        names = "".join(f" {tensor.name!r}" for tensor in contents.inputs[:4])
        raise BadModel(f"{path}: the model has {len(contents.inputs)} inputs{names}; it must have one, the image")
    tensor = contents.inputs[0]
    if tensor.type not in ("float32", PIXELS):
        fault = f"its input {tensor.name!r} is {tensor.type}"
        raise BadModel(f"{path}: {fault}; export it with one of float32, or of uint8 for pixels as they are")
    if tensor.shape is None or len(tensor.shape) != 4:
        found = "no shape" if tensor.shape is None else f"the shape ({_text(tensor.shape)})"
        raise BadModel(f"{path}: its input {tensor.name!r} has {found}; images need four dimensions, such as N,3,H,W")
    return tensor.shape


def _layout(shape: Shape) -> Layout:
    return "nhwc" if shape[3] in PICTURES and shape[1] not in PICTURES else "nchw"


def _sample(path: Path, shape: Shape, layout: Layout, size: tuple[int, int] | None) -> tuple[int, int, int]:
    """Channels, height and width of what the model is fed with."""
    if 0 in shape:
        raise BadModel(f"{path}: its input ({_text(shape)}) is empty; export it again")
    batch, first, second, third = shape
    channels, height, width = channels_height_width((first, second, third), layout)
    if channels is None:
        raise BadModel(f"{path}: its input ({_text(shape)}) leaves the channels open; export it with their number")
    if size is None:
        if height is None or width is None:
            raise BadModel(f"{path}: its input ({_text(shape)}) takes any height and width; say which with --size")
        size = height, width
    elif any(own not in (None, given) for own, given in zip((height, width), size, strict=True)):
        raise BadModel(f"{path}: its input ({_text(shape)}) does not take --size {size[0]}x{size[1]}; leave it away")
    height, width = size
    if not 0 < (batch or 1) * channels * height * width <= MOST_VALUES:
        raise BadModel(f"{path}: its input ({_text(shape)}) with {height}x{width} pixels is not one of images")
    return channels, height, width


def single_width(output: Shape | None) -> int | None:
    """The one dimension of an output (N, ...) that is not 1, or 1 if all are."""
    if output is None or len(output) < 2:
        return None
    wide = [dimension for dimension in output[1:] if dimension != 1] or [1]
    return wide[0] if len(wide) == 1 else None


def _text(shape: Shape) -> str:
    return ", ".join("?" if dimension is None else str(dimension) for dimension in shape)
