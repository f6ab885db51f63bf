"""The operator's server: store, ledger, runs, settlement hook, HTTP.

Nothing here imports a module that touches an institution's secrets; import-linter and a test hold that.
"""
