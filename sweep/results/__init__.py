"""The labelled result of a job, its store on disk and its journal."""
