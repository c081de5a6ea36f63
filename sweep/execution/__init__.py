"""What a job will take, and running it: in memory, or in a store by threads, processes and machines."""
