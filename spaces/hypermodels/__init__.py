"""Spaces of Keras Tuner's models: files with ``build_model(hp)``, a ``HyperModel`` class or an instance of one.

A file is used unchanged. ``target`` finds the model builder in its text; ``source`` runs only the statements that it
needs; ``discovery`` runs in a process of its own, since it needs Keras, and builds the model until no new parameter
appears; ``space`` keeps the result in the cache; ``builder`` makes the network of a configuration in a worker;
``counting`` counts its parameters for ``--max-parameters``.
"""

from spaces.hypermodels.builder import HypermodelBuilder, check_data
from spaces.hypermodels.source import is_hypermodel_file
from spaces.hypermodels.space import load_space

__all__ = ["HypermodelBuilder", "check_data", "is_hypermodel_file", "load_space"]
