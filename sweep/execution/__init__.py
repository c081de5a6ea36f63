"""Plan a job and run it: in memory, or into a store with threads, processes or machines."""
