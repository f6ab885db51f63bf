"""The margin models: one interface, a registry by name, a folder for each, and what several of them share.

Nobody outside knows a model by name: operator, agent, verifier and command line take `interface.MarginModel` from
`registry`. A model turns prices into rows; it stands on `rows`, `collateral` and `market`, and no model imports
another. import-linter holds both. docs/adding-a-model.md adds one.
"""
