"""Mutations of the focus loop, of following and of uneven fields."""
