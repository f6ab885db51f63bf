"""Where encrypted portfolios are evaluated: one port, served by processes of this machine or by a Dask cluster.

The operator's service imports `port` and one of `process_pool` and `cluster`; none of them can see a secret key.
`station` is what runs on a cluster's machines.
"""
