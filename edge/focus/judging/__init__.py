"""What an estimate says, whether it may be believed, and what follows: pure rules of the focus loop."""
