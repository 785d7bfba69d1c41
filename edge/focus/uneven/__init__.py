"""Uneven fields: judged by their patches, scanned, mapped, and put together in one picture."""
