"""Webhooks of registries. Each only says which model to look at; what is not proven to be genuine says nothing."""
