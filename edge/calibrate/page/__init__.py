"""The acceptance sheet of an instrument: figures, verdicts, and the page that shows them."""
