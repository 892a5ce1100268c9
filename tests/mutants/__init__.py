"""Single faults planted in the product: each has to be caught, or the checks are worth nothing."""
