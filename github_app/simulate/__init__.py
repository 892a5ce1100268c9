"""The simulation: the whole product in one process, on a clock that jumps, in an order and with faults of a seed.

It may touch nothing outside this process; it puts GitHub's and Modal's simulators straight behind the production code.
"""
