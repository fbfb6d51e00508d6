"""Where tasks come in and are looked at: the gRPC service scheduler.Scheduler, and its HTTP form."""
