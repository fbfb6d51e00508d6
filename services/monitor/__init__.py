"""Watches the flow and exports it as Prometheus metrics; writes nothing, and being down costs only freshness."""
