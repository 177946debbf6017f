"""Write the layer lists of the published networks."""

from pipeline.predict.measurements import LAYERS_FILE, write_layer_lists
from pipeline.predict.networks import ARCHITECTURES, published_layers

if __name__ == "__main__":
    write_layer_lists({name: published_layers(name) for name in ARCHITECTURES}, LAYERS_FILE)
