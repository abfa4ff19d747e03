"""The HTTP client side: connections, pool, proxies and the egress policy."""
