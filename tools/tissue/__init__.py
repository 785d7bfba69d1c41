"""Objects for synthetic stacks: real tiles and drawn textures."""
