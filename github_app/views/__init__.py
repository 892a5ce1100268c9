"""What people are shown, read from the records alone: for the command line and for the dashboard."""
