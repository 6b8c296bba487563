"""The studio benchmark: sequences with truth, simulated estimators, rows of ablations, and the tables they fill."""
