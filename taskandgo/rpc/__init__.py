"""Servers and clients of calls: gRPC and HTTP, and how a call is refused."""
