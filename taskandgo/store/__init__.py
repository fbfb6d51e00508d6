"""The store: tasks, chunks and results in SQLite or PostgreSQL; one schema and one set of statements for both."""
