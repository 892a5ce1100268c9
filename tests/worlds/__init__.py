"""What tests run in: the product over both simulators, in this process or as one of its own, and what stands beside it."""
