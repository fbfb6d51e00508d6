"""Says hello, and which task and chunk it is."""

import os

print(f"hello from {os.environ.get('TASK_ID', 'nowhere')}")
