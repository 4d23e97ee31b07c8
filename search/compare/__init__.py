"""Compares search engines under equal budgets and from equal seeds, on real training or on recorded tables.

A comparison is a folder of recorded runs. On real training, a run is an ordinary study of one engine, and
``tournament.json`` holds what all studies share. On tables (``search.compare.tabular``), a run is a simulated search.
An interrupted comparison continues where it stopped.

    plan, run, store    what is run, running what is missing, what is recorded
    compute             from recorded studies to a result
    results, paired_tests, curves, summary, plot, render    the core: ranking and reports of both kinds
    report              how a comparison of studies is described
"""
