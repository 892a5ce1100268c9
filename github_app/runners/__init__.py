"""The life of a runner, from the claim on a job through slot, JIT config and sandbox to its proven end.

It may touch the store, and GitHub and Modal through the Protocols here; `balance` and `retry` are pure.
"""
