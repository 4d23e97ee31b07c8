"""Reproduction: recorded trials restored, trained once more and compared with what the record says."""
