"""Compares search engines on tables of finished trainings, so that nothing is trained.

benchmarks          the tables
run, simulate       simulates the missing searches, in worker processes
store               the recorded searches
compute, report     from recorded searches to a result and its report
"""
