"""The event machine's compiler: lists, slice headers and values (docs/event.md)."""
