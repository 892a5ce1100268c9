"""What tests run in: the product over both simulators, here or as a process of its own, and what stands beside it."""
