"""Tournaments: engines set against each other on real training, under equal budgets and from equal seeds.

A tournament is a folder with one ordinary study for each engine and repeat, and ``tournament.json``, the terms that all
of them share. The studies of one repeat have the same seed, and so the same baseline, trial and verification seeds.
They take turns, repeat by repeat, on one executor, so that an interrupted tournament is balanced.

    plan.make_tournament    checks everything; writes nothing but the data cache
    run.run                 plays each bout that is not finished
    store.compare           the comparison of what is recorded
"""
