"""What `celery worker` loads; its broker is named by the environment."""

import os

from bench.celery_system import URL, celery_app

app = celery_app(os.environ[URL])
