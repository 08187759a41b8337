"""What is measured and how. `python -m bench` prints a table; nothing here asserts a wall-clock
time."""
