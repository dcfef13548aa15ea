"""A person corrects a model: decisions on its prototypes, a refit of its head, a new checkpoint."""
