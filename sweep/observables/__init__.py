"""What can be measured of a set: statistics over time, comparisons with a target, and records of trajectories.

Every observable covers all steps after the transient, and uses the state after each step. So the state after the first step of
a simulation belongs to the time dt. Statistics are accumulated in float64 over all these steps.
"""

from __future__ import annotations

from sweep.observables.layout import ALWAYS as ALWAYS
from sweep.observables.layout import Variable as Variable
from sweep.observables.layout import parse as parse
from sweep.observables.layout import variables as variables
from sweep.observables.records import Record as Record
from sweep.observables.records import record as record
from sweep.observables.records import record_steps as record_steps
from sweep.observables.table import CORRELATION as CORRELATION
from sweep.observables.table import MSE as MSE
from sweep.observables.table import OBSERVABLES as OBSERVABLES
from sweep.observables.table import STATUS as STATUS
from sweep.observables.table import VARIABLES as VARIABLES
from sweep.observables.table import Observable as Observable
from sweep.observables.table import wanted as wanted
