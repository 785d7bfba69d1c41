"""Focus stacks: recorded, read, labelled and evaluated."""
