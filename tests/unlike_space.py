"""A space of a user's own whose networks are no plain chains: images that meet in a batch, and functions for layers."""

from spaces import TRAINING, Choice, Int, Space


def build(images, config, classes):
    import keras

    features = keras.layers.Flatten()(images)
    if config["kind"] == "nested":
        inner = [keras.layers.Dense(config["units"]), keras.layers.BatchNormalization(), keras.layers.ReLU()]
        features = keras.Sequential(inner)(features)
    else:
        features = keras.layers.Dense(config["units"])(features)
        features = keras.layers.Dense(config["units"], activation="relu")(features) + features
    return keras.ops.softmax(keras.layers.Dense(classes)(features))


SPACE = Space(
    name="unlike",
    doc="Perceptrons that are no chains",
    parameters={"kind": Choice(("nested", "function"), "nested"), "units": Int(16, 64, 24), **TRAINING},
    build=build,
)
