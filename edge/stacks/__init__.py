"""Focus stacks: read, write, record, label and evaluate them."""
