"""Training: losses, metrics, schedules, and the loop that uses them."""
