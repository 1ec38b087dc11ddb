"""Shows and checks what an operator set, before the service stands on it."""
