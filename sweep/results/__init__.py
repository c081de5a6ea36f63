"""The labelled result of a job, its store on disk and the journal beside it."""
