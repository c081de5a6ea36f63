"""tausweep: sweep the parameters of firing-rate recurrent networks on GPUs, CPUs and clusters."""

from __future__ import annotations

from sweep.design.design import Design as Design
from sweep.design.makers import grid as grid
from sweep.design.makers import latin_hypercube as latin_hypercube
from sweep.design.makers import random as random
from sweep.design.makers import replicates as replicates
from sweep.design.makers import sobol as sobol
from sweep.design.makers import table as table
from sweep.design.makers import zipped as zipped
from sweep.errors import JobError as JobError
from sweep.errors import SweepError as SweepError
from sweep.execution.memory import lazy as lazy
from sweep.execution.memory import simulate as simulate
from sweep.execution.plan import plan as plan
from sweep.execution.runner import run as run
from sweep.job import Job as Job
from sweep.job import Report as Report
from sweep.jobfile import load as load
from sweep.model.integration import Integration as Integration
from sweep.model.network import Model as Model
from sweep.model.weights import excitatory_inhibitory as excitatory_inhibitory
from sweep.model.weights import gaussian as gaussian
from sweep.model.weights import input_weights as input_weights
from sweep.model.weights import perturb as perturb
from sweep.model.weights import sparse as sparse
from sweep.observables import record as record
from sweep.results.store import open_dataset as open_dataset
from sweep.signals.recordings import samples as samples
from sweep.signals.recordings import spikes as spikes
from sweep.signals.targets import Target as Target
from sweep.signals.targets import model_output as model_output
from sweep.signals.waveforms import constant as constant
from sweep.signals.waveforms import pulse as pulse
from sweep.signals.waveforms import sine as sine
from sweep.signals.waveforms import step as step
from sweep.signals.waveforms import white_noise as white_noise

open = open_dataset
