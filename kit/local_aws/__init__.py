"""A local AWS: one process on this machine that answers boto3 and the SageMaker SDK, and really does the work."""
