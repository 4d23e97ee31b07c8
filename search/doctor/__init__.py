"""The doctor: would a search run here? An ordered list of checks, each with what it found and what mends it.

    finding.py        what a check returns
    checks.py         the checks in order, and the one loop that makes them
    subject.py        what they examine: the settings, and what one check finds for another
    installation.py   Python, packages, extras
    machine.py        processor, memory, backend
    gpu.py            GPUs
    folders.py        data, studies, reports
    proof.py          engine, two steps of training, workers

Nothing is written but the data cache and temporary folders. The calling process never imports Keras.
"""
