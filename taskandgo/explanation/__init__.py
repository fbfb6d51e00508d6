"""Why a task waits, where it runs, or why it died: pure rules over facts, shared by ingest and the monitor."""
