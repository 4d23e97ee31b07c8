"""A space of a user's own: a small perceptron, with a learning rate so high that training fails."""

from spaces import TRAINING, Choice, Condition, Float, Int, Space


def build(images, config, classes):
    import keras

    features = keras.layers.Flatten()(images)
    features = keras.layers.Dense(config["units"], activation="relu")(features)
    if config["dropout"]:
        features = keras.layers.Dropout(config["dropout"])(features)
    return keras.layers.Dense(classes, activation="softmax")(features)


SPACE = Space(
    name="own",
    doc="A small perceptron",
    parameters={
        "units": Int(16, 128, 64),
        "dropout": Choice((0.0, 0.2), 0.0),
        **TRAINING,
        "learning_rate_sgd": Float(
            5e-3, 1e30, 0.1, log=True, when=Condition(parameter="optimizer", values=("sgd",)), doc="Up to nonsense."
        ),
    },
    build=build,
)
