"""How right the method is: studio clips, simulated estimators, datasets, rows and tables; a GPU held against a CPU.

How fast it is: benchmarks/.
"""
