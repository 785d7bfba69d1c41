"""Developer programs, run as `python -m tools.<name>` from the checkout. Not part of the installed package."""
