"""Compares search engines on recorded trainings of a space, so that whole searches are played on a virtual clock.

recordings          the file of recorded trainings; ``benchmarks/record.py`` makes it
model               predicts a training from its configuration, with the spread of the recorded ones
mutants, rivals     simple searches that an engine should beat; contenders names them and the engines
run, simulate       simulates the missing searches, in worker processes
compute, report     from simulated searches to a result and its report
"""
