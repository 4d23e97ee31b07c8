"""Seeds derived from the study's seed: unique per use, and reproducible."""

from __future__ import annotations

import secrets

import numpy as np

from search.trial import Phase

_PHASE_STREAMS = {Phase.SEARCH: 0, Phase.VERIFICATION: 1, Phase.REPRODUCTION: 2}


def trial_seed(study_seed: int, phase: Phase, number: int) -> int:
    """Returns the seed of a trial (by its number) or of a replicate (by its index), in [0, 2**31).

    Replicates of all configurations share seeds index by index, so that differences between them can be paired.
    """
    state = np.random.SeedSequence([study_seed, _PHASE_STREAMS[phase], number]).generate_state(1)
    return int(state[0]) >> 1


def random_seed() -> int:
    """Returns a random seed, for a study without a given seed."""
    return secrets.randbelow(2**31)


def proposal_seed(study_seed: int, number: int, attempt: int) -> int:
    """Returns the seed of an engine's proposal for a trial, in [0, 2**32)."""
    return int(np.random.SeedSequence([study_seed, number, attempt]).generate_state(1)[0])
