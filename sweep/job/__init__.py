"""A job: all of its parts together, checked, and what may surprise in it."""

from __future__ import annotations

from sweep.job.job import Job as Job
from sweep.job.report import Report as Report
