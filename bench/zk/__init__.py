"""bench/zk."""
