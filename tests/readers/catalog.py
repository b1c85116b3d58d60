"""PyIceberg as a writer: commits to a table that is nothing but a directory."""

import os
from pathlib import Path

from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import load_file_io
from pyiceberg.serializers import ToOutputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.update import update_table_metadata
from readers import PyIceberg, newest_version


class Files(NoopCatalog):
    """The smallest catalog: numbered metadata files, each made once, and a hint."""

    def commit_table(self, table, requirements, updates):
        for requirement in requirements:
            requirement.validate(table.metadata)
        metadata = update_table_metadata(
            table.metadata, updates, metadata_location=table.metadata_location
        )
        version = version_of(table.metadata_location) + 1
        return CommitTableResponse(
            metadata=metadata, metadata_location=self.write(metadata, version)
        )

    def write(self, metadata, version: int = 1) -> str:
        folder = Path(metadata.location.removeprefix("file://")) / "metadata"
        folder.mkdir(parents=True, exist_ok=True)
        location = folder / f"v{version}.metadata.json"
        finished = folder / f".tmp-{os.getpid()}-{version}"
        ToOutputFile.table_metadata(metadata, load_file_io().new_output(str(finished)))
        try:
            os.link(finished, location)
        except FileExistsError as error:
            raise CommitFailedException(f"{location} is there already") from error
        finally:
            finished.unlink()
        (folder / "version-hint.text").write_text(str(version))
        return str(location)


def version_of(location: str) -> int:
    """The number in `…/vN.metadata.json`."""
    return int(Path(location).name.removeprefix("v").removesuffix(".metadata.json"))


def open_table(directory: Path) -> Table:
    """The table in a directory, ready to be changed."""
    assert newest_version(directory) > 0, f"no table in {directory}"
    static = PyIceberg(directory).table
    identifier = (directory.parent.name, directory.name)
    return Table(
        identifier, static.metadata, static.metadata_location, load_file_io(), Files("test")
    )
