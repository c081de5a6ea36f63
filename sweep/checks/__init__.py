"""What a user gives, checked: numbers, arrays and names, their units, and the calls themselves; and what is said of them."""

from __future__ import annotations

from sweep.checks.values import Count as Count
from sweep.checks.values import Duration as Duration
from sweep.checks.values import NotNegative as NotNegative
from sweep.checks.values import OneOf as OneOf
from sweep.checks.values import Positive as Positive
from sweep.checks.values import Seed as Seed
from sweep.checks.values import Whole as Whole
from sweep.checks.values import array as array
from sweep.checks.values import check_fields as check_fields
from sweep.checks.values import checked as checked
from sweep.checks.values import number as number
from sweep.checks.values import numbers_of as numbers_of
from sweep.checks.values import one_of as one_of
from sweep.checks.values import units_of as units_of
from sweep.checks.values import whole as whole
