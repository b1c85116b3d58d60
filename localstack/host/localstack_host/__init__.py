"""LocalStack's functions, DynamoDB and Kinesis as processes of this machine."""
