"""The files through which the stages meet: one module a kind, each reading, writing and checking it."""
