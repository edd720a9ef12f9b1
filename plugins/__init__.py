"""The exchangeable parts: the hooks that register them, the registry that finds them, and the built-in ones."""
