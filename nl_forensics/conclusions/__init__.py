"""What follows from findings: the timeline, the postmortem, the causes of slowness."""
