"""The broker seam: what services ask of a broker (broker.py), the map of the flow (topology.py), and two brokers."""
