"""Images a second of training steps on a CPU: the tool, plain Keras, the machine's ceiling, and where the time goes.

    python benchmarks/step.py [--rounds 7] [--threads 1] [--configurations cnn "cnn: two stages + sgd" ...]
    python benchmarks/step.py --profile cnn            time by kind of operation, tool and plain
    python benchmarks/step.py --backends jax torch     other backends beside TensorFlow
    python benchmarks/step.py --pairs                  two workers at once beside one

Each contender is a process with its own kernels; the processes train in turns, in an order that rotates. A turn
trains 5,000 images, after one that traced and compiled. The seconds of plain Keras count from the end of its first
batch, so that its copying of the images is not counted. ``ONEDNN_MAX_CPU_ISA=AVX2`` before the command makes a machine
with AVX-512 compute as one without it; the kernels that TensorFlow chooses by itself stay those of the machine.

    tool          the trainer's network, optimizer and loops, with oneDNN and with TensorFlow's own kernels (eigen)
    plain         ``model.fit`` on floats in memory, with TensorFlow's defaults, or with oneDNN
    forward       prediction of the same images by the tool
    ceiling       images a second if all multiply-adds of a training step ran as fast as a product of two matrices
                  of 1024 x 1024, in the same processes
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

IMAGES = 5_000
CONFIGURATIONS = ("mlp", "mlp: two layers + sgd", "cnn", "cnn: two stages + sgd", "cnn-large", "cnn-large: wide stages")
CONTENDERS = ("tool onednn", "tool eigen", "plain", "plain onednn")
KINDS = {
    "Conv2DBackprop": "gradients of convolutions",
    "Conv2D": "convolutions",
    "MatMul": "matrix products",
    "MaxPoolGrad": "gradient of pooling",
    "Pool": "pooling",
    "BatchNorm": "batch normalisation",
    "Random": "random numbers",
    "Adam": "optimizer",
    "ImageProjective": "augmentation",
    "Relu": "activations",
    "Gelu": "activations",
    "Erf": "activations",
    "Gather": "augmentation",
}
"""Kinds of operations by a part of their names; the first that fits decides."""


def main() -> None:
    """Measures in turns and prints Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--configurations", nargs="+", default=CONFIGURATIONS)
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS)
    parser.add_argument("--backends", nargs="*", default=(), metavar="jax|torch")
    parser.add_argument("--profile", metavar="CONFIGURATION")
    parser.add_argument("--pairs", action="store_true")
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(*options.serve, threads=options.threads)
        return
    print(f"{processor()}; {options.threads} thread(s); {os.environ.get('ONEDNN_MAX_CPU_ISA', 'all instructions')}\n")
    if options.profile:
        print_profile(options.profile, options.threads)
    elif options.pairs:
        print_pairs(options)
    else:
        print_speeds(options)


def print_speeds(options: argparse.Namespace) -> None:
    """Prints images a second by configuration and contender, and the ratios to plain Keras."""
    from common import table

    contenders = [*options.contenders, *(f"tool {backend}" for backend in options.backends)]
    rows = []
    for configuration in options.configurations:
        processes = {name: Contender(name, configuration, options.threads) for name in contenders}
        for process in processes.values():
            process.receive()
        speeds: dict[str, list[float]] = {name: [] for name in contenders}
        forward: list[float] = []
        ceilings: list[float] = []
        for number in range(options.rounds):
            for name in contenders[number % len(contenders) :] + contenders[: number % len(contenders)]:
                speeds[name].append(processes[name].ask("train"))
            forward.append(processes[contenders[0]].ask("predict"))
            ceilings.append(processes[contenders[0]].ask("matrix"))
        for process in processes.values():
            process.close()
        medians = {name: median(values) for name, values in speeds.items()}
        flops, gigaflops = training_flops(configuration), median(ceilings)
        plain = medians.get("plain")
        rows.append(
            [
                configuration,
                *(f"{value:,.0f}" for value in medians.values()),
                f"{medians[contenders[0]] / plain:.2f}" if plain else "",
                f"{median(forward):,.0f}",
                f"{gigaflops:.0f}",
                f"{1e9 * gigaflops / flops:,.0f}",
                f"{100 * medians[contenders[0]] * flops / gigaflops / 1e9:.0f} %",
            ]
        )
    heads = [
        "images/s", *contenders, f"{contenders[0]} : plain", "forward", "GFLOP/s", "ceiling", "share of the ceiling",
    ]  # fmt: skip
    table(heads, rows)


def print_pairs(options: argparse.Namespace) -> None:
    """Prints the images a second of two processes at once beside one alone."""
    from common import table

    rows = []
    for configuration in options.configurations:
        pair = [Contender("tool onednn", configuration, options.threads) for _ in range(2)]
        for process in pair:
            process.receive()
        alone, together = [], []
        for number in range(options.rounds):
            alone.append(pair[number % 2].ask("train"))
            for process in pair:
                process.send("train")
            together.append(sum(process.receive() for process in pair))
        for process in pair:
            process.close()
        rows.append([configuration, median(alone), median(together), f"{median(together) / median(alone):.2f}"])
    table(["images/s", "one", "two at once", "ratio"], rows)


def print_profile(configuration: str, threads: int) -> None:
    """Prints the milliseconds of each kind of operation in a training step of 200 images."""
    from common import table

    profiles = {}
    for name in ("tool onednn", "plain onednn", "plain"):
        process = Contender(name, configuration, threads)
        process.receive()
        process.send("profile")
        profiles[name] = Counter(json.loads(process.process.stdout.readline()))  # type: ignore[union-attr]
        process.close()
    kinds = sorted({kind for profile in profiles.values() for kind in profile}, key=lambda k: -profiles["plain"][k])
    rows = [[kind, *(f"{profile[kind]:.2f}" for profile in profiles.values())] for kind in kinds]
    totals = ["all operations", *(f"{sum(profile.values()):.1f}" for profile in profiles.values())]
    table([f"{configuration}, ms a step of 200 images", *profiles], [*rows, totals])


class Contender:
    """A process that trains one configuration on request.

    Args:
        name: One of ``CONTENDERS``, or "tool" and a backend.
        configuration: A space, or a space and a recipe.
        threads: Threads of an operation.
    """

    def __init__(self, name: str, configuration: str, threads: int) -> None:
        side, _, variant = name.partition(" ")
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        environment.pop("TF_ENABLE_ONEDNN_OPTS", None)
        if variant in ("onednn", "eigen"):
            environment["TF_ENABLE_ONEDNN_OPTS"] = str(int(variant == "onednn"))
        elif variant:
            environment |= {"KERAS_BACKEND": variant, "JAX_PLATFORMS": "cpu", "PJRT_NPROC": str(threads)}
        environment["OMP_NUM_THREADS"] = str(threads)
        command = [sys.executable, __file__, "--serve", side, configuration, "--threads", str(threads)]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            encoding="utf-8", bufsize=1,
        )  # fmt: skip
        self.send("train")  # to trace and compile

    def ask(self, request: str) -> float:
        """Sends a request and returns its figure."""
        self.send(request)
        return self.receive()

    def send(self, request: str) -> None:
        """Sends a request."""
        self.process.stdin.write(f"{request}\n")  # type: ignore[union-attr]

    def receive(self) -> float:
        """Returns the figure of the last request."""
        return float(self.process.stdout.readline())  # type: ignore[union-attr]

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()


def serve(side: str, configuration: str, *, threads: int) -> None:
    """Answers requests on standard input with a figure each, until it closes."""
    from search.training.runtime import import_keras

    keras = import_keras()
    configure_threads(keras.backend.backend(), threads, deterministic=side == "tool")
    train, predict = make_tool(configuration) if side == "tool" else make_plain(configuration)
    for request in sys.stdin:
        if request == "profile\n":
            print(json.dumps(profile(train)), flush=True)
        else:
            figure = {"train": train, "predict": predict, "matrix": matrix_gigaflops}[request.strip()]
            print(figure(), flush=True)


def configure_threads(backend: str, threads: int, *, deterministic: bool) -> None:
    """Sets the threads of TensorFlow or PyTorch; JAX reads a variable."""
    if backend == "torch":
        import torch

        torch.set_num_threads(threads)
    elif backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
        if deterministic:
            tf.config.experimental.enable_op_determinism()


def load(configuration: str) -> tuple[Any, dict[str, Any], Any, Any, Any]:
    """Returns space, complete configuration, images, labels and targets."""
    import numpy as np
    from common import EMBEDDED

    from spaces import registry
    from spaces.training import complete

    name, _, recipe = configuration.partition(": ")
    space = registry.load(name)
    config = complete(space.recipe(recipe) if recipe else space.baseline)
    with np.load(EMBEDDED) as mnist:
        images, labels = mnist["x_train"][:IMAGES, ..., None], mnist["y_train"][:IMAGES]
    return space, config, images, labels, np.eye(10, dtype=np.float32)


def make_tool(configuration: str) -> tuple[Any, Any]:
    """Returns functions that train and that predict, as the trainer does, and return images a second."""
    import keras
    import numpy as np

    from search.training.loops import KerasLoops, Loops, steps_per_call
    from search.training.network import make_loss, make_network, make_optimizer

    space, config, images, labels, targets = load(configuration)
    batch_size = config["batch_size"]
    keras.utils.set_random_seed(1)
    model = make_network(space.build, config, images, classes=10, seed=1)
    optimizer = make_optimizer(config, 10_000)
    is_tensorflow = keras.backend.backend() == "tensorflow"
    if is_tensorflow:
        from search.training.tensorflow_cpu.adam import use_fused_update
        from search.training.tensorflow_cpu.layers import use_fast_layers

        use_fast_layers(model, compile_for=50_000)
        use_fused_update(optimizer)
    model.compile(
        optimizer=optimizer,
        loss=make_loss(config),
        steps_per_execution=steps_per_call(batch_size, IMAGES // batch_size),
        jit_compile=False if is_tensorflow else "auto",
    )
    model.optimizer.build(model.trainable_variables)
    loops: Loops = KerasLoops(model, batch_size)
    if is_tensorflow:
        from search.training.tensorflow_cpu.loops import CompiledLoops

        loops = CompiledLoops(model, batch_size, images.dtype)
    order = np.random.default_rng(1).permutation(IMAGES)

    def train() -> float:
        started = time.perf_counter()
        loops.train(images, labels, targets, lambda *_: None, order=order)
        return IMAGES / (time.perf_counter() - started)

    def predict() -> float:
        started = time.perf_counter()
        loops.predict(images, lambda *_: None)
        return IMAGES / (time.perf_counter() - started)

    return train, predict


def make_plain(configuration: str) -> tuple[Any, Any]:
    """Returns functions that train with ``model.fit`` as the tutorial does, and that predict with Keras."""
    import keras

    from search.training.network import make_loss, make_network, make_optimizer

    space, config, images, labels, targets = load(configuration)
    pixels, one_hot, batch_size = images.astype("float32") / 255, targets[labels], config["batch_size"]
    keras.utils.set_random_seed(1)
    model = make_network(space.build, config, pixels, classes=10, seed=1)
    model.compile(
        optimizer=make_optimizer(config, 10_000), loss=make_loss(config), metrics=["accuracy"], jit_compile=False
    )

    def train() -> float:
        ends: list[float] = []
        clock = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: ends.append(time.perf_counter()))
        model.fit(pixels, one_hot, batch_size=batch_size, verbose=0, callbacks=[clock])
        return (IMAGES - batch_size) / (ends[-1] - ends[0])

    def predict() -> float:
        started = time.perf_counter()
        model.predict(pixels, batch_size=batch_size, verbose=0)
        return IMAGES / (time.perf_counter() - started)

    return train, predict


def matrix_gigaflops(size: int = 1024, products: int = 5) -> float:
    """Returns the GFLOP a second of products of two square matrices."""
    import numpy as np
    from keras import ops

    factor = ops.convert_to_tensor(np.random.default_rng(1).normal(size=(size, size)).astype(np.float32))
    ops.convert_to_numpy(ops.matmul(factor, factor))
    started = time.perf_counter()
    for _ in range(products):
        ops.convert_to_numpy(ops.matmul(factor, factor)[:1])
    return 2e-9 * size**3 * products / (time.perf_counter() - started)


def training_flops(configuration: str) -> float:
    """Returns the floating-point operations of products and convolutions in a training step, an image."""
    from spaces import registry
    from spaces.training import complete

    name, _, recipe = configuration.partition(": ")
    space = registry.load(name)
    assert space.workload is not None
    work = space.workload(complete(space.recipe(recipe) if recipe else space.baseline), (28, 28, 1), 10)
    # Forward, gradient of the weights, and gradient of the inputs, which the first layer does not need.
    first = work.image_convolution_macs + work.image_dense_macs
    return 2.0 * (2 * first + 3 * (work.convolution_macs + work.dense_macs))


def profile(train: Any) -> dict[str, float]:
    """Returns the milliseconds of each kind of operation in a step of 200 images, by TensorFlow's profiler."""
    import tempfile

    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder, tf.profiler.experimental.ProfilerOptions(host_tracer_level=3)):
            train()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    spent: Counter[str] = Counter()
    for plane in space.planes:
        names = {number: metadata.name for number, metadata in plane.event_metadata.items()}
        for line in plane.lines:
            for event in line.events:
                operation, _, kind = names[event.metadata_id].rpartition(":")  # "model/conv2d/Relu:Relu"
                if operation and not operation.endswith(":") and kind.isidentifier() and "inference" not in kind:
                    spent[kind_of(kind)] += event.duration_ps
    return {kind: picoseconds / 1e9 / (IMAGES / 200) for kind, picoseconds in spent.items()}


def kind_of(operation: str) -> str:
    """Returns the kind of a TensorFlow operation."""
    return next((kind for part, kind in KINDS.items() if part in operation), "other operations")


def processor() -> str:
    """Returns the processor and its vector instructions."""
    from search.training.runtime import machine_info

    facts = machine_info()
    return f"{facts['processor']} ({facts['processor_kind']}), {platform.system()}"


if __name__ == "__main__":
    main()
