"""The schema's history, applied by taskandgo/store/migrate.py through Alembic."""
