"""tausweep: sweep the parameters of firing-rate recurrent networks on GPUs, CPUs and clusters."""

from __future__ import annotations

from sweep.design import Design as Design
from sweep.designs import grid as grid
from sweep.designs import latin_hypercube as latin_hypercube
from sweep.designs import random as random
from sweep.designs import replicates as replicates
from sweep.designs import sobol as sobol
from sweep.designs import table as table
from sweep.designs import zipped as zipped
from sweep.errors import JobError as JobError
from sweep.errors import SweepError as SweepError
from sweep.integration import Integration as Integration
from sweep.job import Job as Job
from sweep.job import Report as Report
from sweep.jobfile import load as load
from sweep.memory import lazy as lazy
from sweep.memory import simulate as simulate
from sweep.model import Model as Model
from sweep.network import excitatory_inhibitory as excitatory_inhibitory
from sweep.network import gaussian as gaussian
from sweep.network import input_weights as input_weights
from sweep.network import perturb as perturb
from sweep.network import sparse as sparse
from sweep.observables import record as record
from sweep.plan import plan as plan
from sweep.recordings import samples as samples
from sweep.recordings import spikes as spikes
from sweep.runner import run as run
from sweep.signals import constant as constant
from sweep.signals import pulse as pulse
from sweep.signals import sine as sine
from sweep.signals import step as step
from sweep.signals import white_noise as white_noise
from sweep.store import open_dataset as open_dataset
from sweep.targets import Target as Target
from sweep.targets import model_output as model_output

open = open_dataset
