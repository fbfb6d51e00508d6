"""The public API, generated from proto/taskandgo/api/scheduler.proto by `make proto`; never edited by hand."""
