"""What a model learns from: stacks, patches, frames, features."""
