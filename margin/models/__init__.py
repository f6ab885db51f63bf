"""Margin models: one interface, a registry by name, a folder for each model. Nobody else knows a model by name."""
