"""What the services share; knows no service. Start reading at words.py, messages.py and broker/topology.py."""

__version__ = "0.1.0"
