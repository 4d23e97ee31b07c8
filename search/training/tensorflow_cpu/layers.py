"""Layers that compute the same functions as Keras's own, faster on a CPU with TensorFlow.

    Conv2D              the bias gradient apart from the kernel's: together, oneDNN takes three times as long
    BatchNormalization  TensorFlow's fused kernel in place of ten operations
    Dropout             16 random bits a value in place of 32
    RandomAffine        shifts by copying rows and columns, if nothing else is augmented
    RandomElastic       its resampling compiled by XLA, which takes a quarter of the time
    GELU                of feature maps, compiled by XLA: a quarter of the time of TensorFlow's twelve operations

Outputs equal those of Keras's layers up to rounding; dropout draws other random numbers from the same distribution.
Layers of other classes, subclasses included, are left alone. ``benchmarks/step.py`` measures the effect. Called by the
trainer when a network is built.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import tensorflow as tf

from search.training.augmentation import RandomAffine
from search.training.elastic import RandomElastic, resample

RANDOM_BITS = 16
"""Random bits per dropped value. A rate is rounded to a multiple of 2**-16; the scale follows the rounded rate."""


MIN_COMPILED_VALUES = 10_000_000
"""Values of a layer in an epoch from which its GELU is compiled. Compiling takes 0.3 s for a layer, with its gradient
and for scoring; it saves 4 ns a value, so that it pays from the eighth epoch on at the latest."""


def use_fast_layers(model: Any, *, compile_for: int = 0) -> None:
    """Gives the layers of a model, and of models within it, their faster classes; weights and configurations stay.

    Args:
        model: The network.
        compile_for: Images of an epoch, by which the layers are chosen whose GELU is compiled; none with 0.
    """
    for layer in model._flatten_layers():
        layer.__class__ = _FAST_CLASSES.get(type(layer), type(layer))
        if isinstance(layer, _CanCompile) and compile_for:
            layer.min_compiled_values = MIN_COMPILED_VALUES / compile_for


class _CanCompile:
    """A layer whose GELU is compiled where that pays.

    Attributes:
        min_compiled_values: Values of an image from which it pays.
    """

    min_compiled_values = math.inf

    def activate(self, values: Any) -> Any:
        """Applies the layer's activation to values, (batch, ...)."""
        activation = self.activation  # type: ignore[attr-defined]
        shape = values.shape[1:]
        is_large = len(shape) > 1 and shape.is_fully_defined() and math.prod(shape) >= self.min_compiled_values
        if is_large and values.dtype == tf.float32 and activation is keras.activations.gelu:
            return _compiled_gelu(values)
        return values if activation is None else activation(values)


def _gelu(values: Any) -> Any:
    return values * (0.5 + 0.5 * tf.math.erf(values * math.sqrt(0.5)))


def _gelu_gradient(values: Any, upstream: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = _gelu(values)
    return tape.gradient(outputs, values, upstream)


_forward, _backward = (tf.function(function, jit_compile=True) for function in (_gelu, _gelu_gradient))


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _compiled_gelu(values: Any) -> Any:
    """GELU whose gradient computes from the inputs anew: cheaper than to store what the forward pass computed."""
    return _forward(values), lambda upstream: _backward(values, upstream)


class _Activation(_CanCompile, keras.layers.Activation):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        return self.activate(inputs)


class _Conv2D(_CanCompile, keras.layers.Conv2D):  # type: ignore[misc]
    def call(self, inputs: Any) -> Any:
        if not self.use_bias or self.data_format != "channels_last":
            return super().call(inputs)
        outputs = _add_bias(self.convolution_op(inputs, self.kernel), tf.convert_to_tensor(self.bias))
        return self.activate(outputs)


@tf.custom_gradient  # type: ignore[untyped-decorator]
def _add_bias(values: Any, bias: Any) -> Any:
    def gradient(upstream: Any) -> tuple[Any, Any]:
        rows = tf.reshape(upstream, (-1, bias.shape[0]))
        ones = tf.ones((1, tf.shape(rows)[0]), rows.dtype)
        return upstream, tf.matmul(ones, rows)[0]

    return tf.nn.bias_add(values, bias), gradient


class _BatchNormalization(keras.layers.BatchNormalization):  # type: ignore[misc]
    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        is_last_axis = self.axis in (-1, len(inputs.shape) - 1)
        is_supported = is_last_axis and mask is None and not self.renorm and not self.synchronized
        if not (training and self.trainable and is_supported and inputs.dtype == "float32"):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        values = tf.reshape(inputs, (-1, 1, 1, channels)) if len(inputs.shape) != 4 else inputs
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=values,
            scale=self.gamma if self.scale else tf.ones((channels,)),
            offset=self.beta if self.center else tf.zeros((channels,)),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The kernel returns the unbiased variance; Keras averages the biased one.
        count = tf.cast(tf.size(values) // channels, tf.float32)
        variance *= tf.maximum(count - 1.0, 1.0) / count
        self.moving_mean.assign(self.moving_mean * self.momentum + mean * (1.0 - self.momentum))
        self.moving_variance.assign(self.moving_variance * self.momentum + variance * (1.0 - self.momentum))
        return tf.reshape(outputs, tf.shape(inputs)) if values is not inputs else outputs


class _Dropout(keras.layers.Dropout):  # type: ignore[misc]
    def call(self, inputs: Any, training: bool = False) -> Any:
        threshold = round(self.rate * 2**RANDOM_BITS)
        if not training or threshold in (0, 2**RANDOM_BITS) or self.noise_shape is not None:
            return super().call(inputs, training=training)
        count = tf.size(inputs)
        seed = tf.cast(self.seed_generator.next(), tf.int32)
        words = tf.random.stateless_uniform(((count + 1) // 2,), seed, minval=None, maxval=None, dtype=tf.int32)
        bits = tf.reshape(tf.bitcast(words, tf.int16), (-1,))[:count]
        scale = 2**RANDOM_BITS / (2**RANDOM_BITS - threshold)
        factors = tf.cast(bits >= threshold - 2 ** (RANDOM_BITS - 1), inputs.dtype) * scale
        return inputs * tf.reshape(factors, tf.shape(inputs))


class _RandomAffine(RandomAffine):
    def call(self, images: Any, training: bool = False) -> Any:
        if not training or self.rotation or self.zoom or self.shear:
            return super().call(images, training=training)
        _, height, width, _ = images.shape
        transforms = self._projective_transforms(tf.shape(images)[0], float(height), float(width))
        right, down = tf.cast(transforms[:, 2], tf.int32), tf.cast(transforms[:, 5], tf.int32)
        margin = (self.shift, self.shift)
        padded = tf.pad(images, ((0, 0), margin, margin, (0, 0)))
        rows = tf.gather(padded, self.shift + down[:, None] + tf.range(height), axis=1, batch_dims=1)
        return tf.gather(rows, self.shift + right[:, None] + tf.range(width), axis=2, batch_dims=1)


class _RandomElastic(RandomElastic):
    def _resample(self, images: Any, transforms: Any) -> Any:
        return _compiled_resample(images, transforms, self._displacements(tf.shape(images)[0]))


_compiled_resample = tf.function(resample, jit_compile=True)

_FAST_CLASSES: dict[type, type] = {
    keras.layers.Activation: _Activation,
    keras.layers.Conv2D: _Conv2D,
    keras.layers.BatchNormalization: _BatchNormalization,
    keras.layers.Dropout: _Dropout,
    RandomAffine: _RandomAffine,
    RandomElastic: _RandomElastic,
}
