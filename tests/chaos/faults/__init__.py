"""Every fault, by name."""

from tests.chaos.faults import of_broker, of_messages, of_network, of_resources, of_services, of_store
from tests.chaos.faults.fault import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "of_broker", "of_messages", "of_network", "of_resources", "of_services", "of_store"]
