"""Compiled kernel of `pipeline.fit.adam`: one pass over a parameter, its gradient and its moments."""

import math

import numpy as np

from pipeline.jit import kernel

f4 = np.float32


@kernel()
def adam(start, end, values, gradient, first, second, counts, rate, beta1, beta2, epsilon):
    """Step rows start..end of values [R, C] in place."""
    age, correct_first, correct_second = f4(-1), f4(1), f4(1)
    for r in range(start, end):
        counts[r] += f4(1)
        if counts[r] != age:  # nearly all rows have the same age
            age = counts[r]
            correct_first = f4(1 / (1 - beta1**age))
            correct_second = f4(1 / (1 - beta2**age))
        for c in range(values.shape[1]):
            g = gradient[r, c]
            first[r, c] += (g - first[r, c]) * f4(1 - beta1)
            second[r, c] = second[r, c] * f4(beta2) + g * g * f4(1 - beta2)
            values[r, c] -= rate * first[r, c] * correct_first / (math.sqrt(second[r, c] * correct_second) + epsilon)
