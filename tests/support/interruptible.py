"""For programs that a test interrupts: whoever runs the tests in the background has SIGINT ignored,
and that is inherited."""

INTERRUPTIBLE = ["env", "--default-signal=INT"]
