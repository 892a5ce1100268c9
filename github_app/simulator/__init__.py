"""A GitHub and a Modal on your machine: for the demo, the tests, the soak and the benchmarks.

They may touch loopback and processes here, and know nothing of the product: they are built to the published contracts.
"""
