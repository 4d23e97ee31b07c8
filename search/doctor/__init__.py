"""The doctor: checks whether a search would run on this machine, and how to fix what prevents it.

    checks.py          the checks in order, their results, and how one is run
    check_context.py   what they examine: the settings, and what one check finds for another
    installation.py    Python, packages, extras
    machine.py         processor, memory, backend, GPUs
    folders.py         data, studies, reports
    smoke_test.py      engine, two steps of training, workers

Writes only the data cache and temporary folders. The calling process never imports Keras.
"""
