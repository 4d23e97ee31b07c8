"""Adam and AdamW with TensorFlow's fused kernel: one pass over the parameters in place of nine operations.

The update rule is that of Keras's classes, up to rounding.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf


def use_fused_update(optimizer: Any) -> None:
    """Gives an optimizer of the classes Adam and AdamW the fused update; others are left alone."""
    optimizer.__class__ = _FUSED_CLASSES.get(type(optimizer), type(optimizer))


def _can_update(optimizer: Any, gradient: Any, variable: Any) -> bool:
    """Returns whether the kernel applies: it has one type for all arguments and no AMSGrad."""
    return variable.dtype == gradient.dtype == tf.float32 and not optimizer.amsgrad


def _update(optimizer: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    index = optimizer._get_variable_index(variable)
    step = tf.cast(optimizer.iterations + 1, tf.float32)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=optimizer._momentums[index].value.handle,
        v=optimizer._velocities[index].value.handle,
        beta1_power=tf.pow(optimizer.beta_1, step),
        beta2_power=tf.pow(optimizer.beta_2, step),
        lr=tf.cast(learning_rate, tf.float32),
        beta1=optimizer.beta_1,
        beta2=optimizer.beta_2,
        epsilon=optimizer.epsilon,
        grad=gradient,
    )


def _update_step(optimizer: Any, gradient: Any, variable: Any, learning_rate: Any) -> None:
    if _can_update(optimizer, gradient, variable):
        _update(optimizer, gradient, variable, learning_rate)
    else:
        keras.optimizers.Adam.update_step(optimizer, gradient, variable, learning_rate)


class _Adam(keras.optimizers.Adam):  # type: ignore[misc]
    update_step = _update_step


class _AdamW(keras.optimizers.AdamW):  # type: ignore[misc]
    update_step = _update_step


_FUSED_CLASSES: dict[type, type] = {keras.optimizers.Adam: _Adam, keras.optimizers.AdamW: _AdamW}
