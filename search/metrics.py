"""What is measured on the scored images after an epoch, by name.

Called by the values in ``search.trial``, which record it, and by the page of schemas.
"""

from __future__ import annotations

from collections.abc import Mapping

METRICS: Mapping[str, str] = {
    "loss": "Mean cross-entropy on the scored images, in nats; None where not scored.",
    "calibrated_loss": (
        "The same cross-entropy after one temperature, the best for these images, divided the logits; None where not "
        "scored, and in studies of version 0.1.0."
    ),
    "error_percent": "Share of scored images classified wrongly, in percent; None where not scored.",
    "balanced_error_percent": (
        "Mean over the classes of the share of their scored images classified wrongly, in percent; None where not "
        "scored, and in studies of older versions."
    ),
}
"""What each metric is, by name; JSON has each as a key of its own."""
OUTCOME_METRICS = ("calibrated_loss", "error_percent", "balanced_error_percent")
"""Those that an outcome repeats from its last scored epoch."""
