"""The doctor: checks whether a search would run on this machine, and names a fix for each problem.

    checks.py          the checks in order, their results, and how a check is run
    check_context.py   what the checks examine: the settings, and results that later checks need
    installation.py    Python, packages, extras
    machine.py         processor, memory, backend, GPUs
    folders.py         data, studies, reports
    smoke_test.py      engine, two steps of training, workers

Writes only the data cache and temporary folders. The calling process never imports Keras.
"""
