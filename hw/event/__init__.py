"""The event-driven machine: only positions that spiked are visited (docs/event.md)."""
