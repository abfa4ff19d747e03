"""Imports what a browser uploads: one Lamatic file, or a kit or project as a zip, read in memory; writes no file."""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

from sizewise.errors import BadRequest
from sizewise.lamatic import file_formats, importer
from sizewise.lamatic.canvas import Canvas, LamaticFileError
from sizewise.lamatic.importer import ImportedFlow
from sizewise.lamatic.project_files import FileLookup, no_files

MAX_FILES = 2_000
"""Files of one zip."""
MAX_TEXT = 20_000_000
"""Bytes of all files of a zip together, unpacked."""
MAX_FLOWS = 100
FLOW_SUFFIXES = frozenset({".yaml", ".yml", ".ts", ".json"})
SKIPPED_FOLDERS = frozenset({"node_modules", "apps", "public", "dist"})


def import_upload(name: str, content: str) -> dict[str, ImportedFlow | LamaticFileError]:
    """By file. `content`: base64. Raises BadRequest for what is no file of Lamatic's."""
    try:
        data = base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest("`content` is not base64", "encode the file's bytes", param="content") from error
    files = _unzip(data) if data[:2] == b"PK" else {PurePosixPath(name).name or "flow.yaml": data}
    drawings: dict[str, Canvas] = {}
    refused: dict[str, ImportedFlow | LamaticFileError] = {}
    for path, root in _flow_files(files):
        inside = path.removeprefix(f"{root}/") if root else path
        try:
            lookup = _lookup(files, root) if len(files) > 1 else no_files
            drawings[path] = file_formats.parse_file(inside, _text(files[path]), lookup)[1]
        except LamaticFileError as error:
            if len(files) == 1 or PurePosixPath(path).parent.name == "flows":
                refused[path] = error
    made = {**importer.import_flows(drawings), **refused}
    if not made:
        raise BadRequest(
            "the file contains no Lamatic flow", "upload a flow file, or the zip of a kit", param="content"
        )
    return made


def _unzip(data: bytes) -> dict[str, bytes]:
    """Raises BadRequest for a broken zip, and for more than the limits; nothing is written to a disk."""
    files: dict[str, bytes] = {}
    left = MAX_TEXT
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            members = [each for each in packed.infolist() if not each.is_dir()]
            if len(members) > MAX_FILES:
                raise BadRequest(f"the zip has more than {MAX_FILES} files", "upload the kit without its app")
            for each in members:
                path = PurePosixPath(each.filename)
                if path.is_absolute() or ".." in path.parts or SKIPPED_FOLDERS & set(path.parts):
                    continue
                with packed.open(each) as opened:
                    text = opened.read(left + 1)  # what the zip says of its sizes is not trusted
                left -= len(text)
                if left < 0:
                    raise BadRequest(f"the zip holds more than {MAX_TEXT} bytes", "upload the kit without its app")
                files[str(path)] = text
    except (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, RuntimeError, NotImplementedError) as error:
        raise BadRequest("the zip cannot be read", "pack it anew, without a password", param="content") from error
    return files


def _flow_files(files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Files that may be flows, each with the root of its project."""
    found = 0
    for path in sorted(files):
        parts = PurePosixPath(path)
        inside = parts.parent.name == "flows"
        if parts.suffix not in FLOW_SUFFIXES or not (inside or len(files) == 1 or len(parts.parts) <= 2):
            continue
        if not inside and len(files) > 1 and parts.suffix == ".ts":
            continue
        found += 1
        if found > MAX_FLOWS:
            raise BadRequest(f"there are more than {MAX_FLOWS} flows", "import them in parts")
        root = parts.parent.parent if inside else parts.parent
        yield path, "" if str(root) == "." else str(root)


def _lookup(files: Mapping[str, bytes], root: str) -> FileLookup:
    def find(name: str) -> str | None:
        data = files.get(f"{root}/{name}" if root else name)
        return None if data is None else _text(data)

    return find


def _text(data: bytes) -> str:
    """Raises LamaticFileError."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LamaticFileError("the file is not valid text", "Save it as UTF-8.") from error
