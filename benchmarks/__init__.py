"""What it costs to start a job, with the floor and the peers measured in the same run."""
