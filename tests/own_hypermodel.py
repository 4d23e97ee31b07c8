"""A script of Keras Tuner as users have it: it loads data, builds, searches. Read as a space by the tests."""

import keras
import keras_tuner
import no_such_package

images = no_such_package.load()


def build_model(hp: keras_tuner.HyperParameters) -> keras.Model:
    """Builds a perceptron that returns logits."""
    model = keras.Sequential([keras.layers.Input((784,))])
    for layer in range(hp.Int("hidden layers", 1, 3, default=2)):
        model.add(keras.layers.Dense(hp.Int(f"units_{layer}", 8, 30, step=4), activation="relu"))
    if hp.Boolean("dropout"):
        model.add(keras.layers.Dropout(hp.Float("rotation", 0.1, 0.5, step=0.2)))
    model.add(keras.layers.Dense(10))
    rate = hp.Float("learning_rate", 1e-4, 1e-1, sampling="log", default=1e-2)
    if hp.Choice("optimizer", ["adam", "sgd"]) == "adam":
        optimizer = keras.optimizers.Adam(rate)
    with hp.conditional_scope("optimizer", ["sgd"]):
        momentum = hp.Fixed("momentum", 0.9)
        if momentum is not None:
            optimizer = keras.optimizers.SGD(rate, momentum)
    hp.Int("batch", 8, 64, step=2, sampling="log", default=16)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


tuner = keras_tuner.Hyperband(build_model, objective="val_accuracy")
tuner.search(images, batch_size=64)
