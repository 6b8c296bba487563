"""The files through which the stages meet: one module a kind, each reading, writing and checking it.

Files for other tools: exports/. Files of other tools: motion/readers/ and the import backends of estimators/.
"""
