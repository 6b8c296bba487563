"""Compiled kernels of `pipeline.fit.adam`: one pass over a parameter, its gradient and its moments."""

import math

import numpy as np

from pipeline.runtime.jit import kernel

f4, u8 = np.float32, np.uint64


@kernel()
def adam(start, end, values, gradient, first, second, counts, rate, beta1, beta2, epsilon):
    """Step rows start..end of values in place; they and all like them are flat, [R * C], and counts [R].

    Nearly all rows have the same age: those that follow each other are one loop, which fills vector registers.
    """
    columns = values.shape[0] // max(1, counts.shape[0])
    keep_first, keep_second = f4(1 - beta1), f4(beta2)
    fresh_second = f4(1 - beta2)
    row = start
    while row < end:
        age, last = counts[row], row
        while last < end and counts[last] == age:
            counts[last] += f4(1)
            last += 1
        age += f4(1)
        step, correct = rate * f4(1 / (1 - beta1**age)), f4(1 / (1 - beta2**age))
        for k in range(u8(row * columns), u8(last * columns)):
            g = gradient[k]
            first[k] += (g - first[k]) * keep_first
            second[k] = second[k] * keep_second + g * g * fresh_second
            values[k] -= step * first[k] / (math.sqrt(second[k] * correct) + epsilon)
        row = last


@kernel()
def adam_of_rows(rows, values, gradient, first, second, counts, rates, factor, beta1, beta2, epsilon):
    """Step some rows of values [R, C] in place; gradient and moments are like them, counts [R], and rates [R, C], or
    [1, C] for all rows alike."""
    keep_first, keep_second = f4(1 - beta1), f4(beta2)
    fresh_second = f4(1 - beta2)
    for row in rows:
        counts[row] += f4(1)
        step, correct = factor * f4(1 / (1 - beta1 ** counts[row])), f4(1 / (1 - beta2 ** counts[row]))
        rate_row = row if rates.shape[0] > 1 else 0
        for k in range(values.shape[1]):
            g = gradient[row, k]
            first[row, k] += (g - first[row, k]) * keep_first
            second[row, k] = second[row, k] * keep_second + g * g * fresh_second
            move = step * first[row, k] / (math.sqrt(second[row, k] * correct) + epsilon)
            values[row, k] -= rates[rate_row, k] * move
