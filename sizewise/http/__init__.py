"""The HTTP client side: connections, pool, proxies, egress allow-list and outbound webhooks."""
