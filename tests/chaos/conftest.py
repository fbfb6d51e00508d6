"""What these tests need of a machine."""

import os

from tests.servers.rabbitmq import NEWER

#: Takes queues that older brokers do not have.
collect_ignore = [] if os.environ.get(NEWER) else ["test_cluster.py"]
