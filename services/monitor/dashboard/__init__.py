"""The live web dashboard: pages that the server renders, kept current over server-sent events."""
