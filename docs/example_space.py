"""A space of your own: ``python -m search run --space docs/example_space.py``."""

from spaces import TRAINING, Choice, Condition, Int, Space


def build(images, config, classes):
    import keras

    for _ in range(config["blocks"]):
        images = keras.layers.SeparableConv2D(config["filters"], 3, padding="same", activation="relu")(images)
    features = keras.layers.GlobalAveragePooling2D()(images)
    if config["head"] == "hidden":
        features = keras.layers.Dense(config["units"], activation="relu")(features)
    return keras.layers.Dense(classes, activation="softmax")(features)


SPACE = Space(
    name="separable",
    doc="Depthwise separable convolutions before global average pooling",
    parameters={
        "blocks": Int(1, 4, 2, doc="Convolutions."),
        "filters": Int(8, 64, 32, log=True, doc="Filters of each."),
        "head": Choice(("plain", "hidden"), "plain", doc="Whether a hidden layer precedes the softmax."),
        "units": Int(16, 256, 64, log=True, when=Condition(parameter="head", values=("hidden",)), doc="Its units."),
        **TRAINING,
    },
    build=build,
)
