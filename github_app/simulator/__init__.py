"""A GitHub and a Modal on your machine: for the demo, the tests, the soak and the benchmarks."""
