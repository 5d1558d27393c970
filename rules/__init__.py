"""What is judged: pure and synchronous. No I/O, no await, no clock; time comes in as an argument."""
