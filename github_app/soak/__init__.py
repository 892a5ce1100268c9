"""The soak: the production app against simulators in which everything that can go wrong does, in compressed time.

It may start and kill processes here, in the demo's world.
"""
