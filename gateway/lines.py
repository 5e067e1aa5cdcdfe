"""Lines of a file or a pipe, gzipped or not, that say whether the next one has to be waited for."""

import codecs
import contextlib
import csv
import gzip
import io
import re
import sys
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Self, cast

from gateway.errors import GanglionError

STDIN: Final = "-"
CHUNK: Final = 65_536
"""Bytes that are read at a time, if so many are there: as many as a pipe holds."""
LONGEST: Final = 2**24
"""Characters of one line: what is longer is no table, and might not end at all."""
_END: Final = re.compile(r"[\r\n]")


class FileError(GanglionError):
    """A file that cannot be read as a table; the message names the line and the cure."""


class Lines(Iterator[str]):
    """Of an open file; each with its end. Raises FileError, and what the codecs of UTF-8 and gzip raise."""

    def __init__(self, raw: io.BufferedReader) -> None:
        packed = raw.peek(2)[:2] == b"\x1f\x8b"
        self._raw = raw
        self._data = gzip.GzipFile(fileobj=raw) if packed else raw
        # It keeps a \r at the end of a chunk back: it may be half of \r\n.
        self._decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")(), translate=False)
        self._here: deque[str] = deque()
        self._parts: list[str] = []
        """Of the newest line, which has not ended yet."""
        self._ended = False

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[Self]:
        """Of a file, or of standard input (`-`). Raises FileError, also from the block, for what cannot be read."""
        try:
            with contextlib.ExitStack() as stack:
                yield cls(_stdin() if str(path) == STDIN else stack.enter_context(path.open("rb")))
        except FileError as error:
            raise FileError(f"{path}: {error}") from error
        except csv.Error as error:
            raise FileError(f"{path}: {error}: is it a CSV file?") from error
        except UnicodeDecodeError as error:
            raise FileError(f"{path}: not UTF-8 ({error.reason}): convert it, as by iconv -f latin1 -t utf8") from error
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileError(f"{path}: the gzip data are damaged: {error}") from error
        except OSError as error:
            if error.filename is None or str(error.filename) != str(path):
                raise
            raise FileError(f"{path} cannot be read: {error.strerror}") from error

    def __next__(self) -> str:
        while not self._here and not self._ended:
            self._read()
        if not self._here:
            raise StopIteration
        return self._here.popleft()

    def wait(self) -> bool:
        """Whether the next line is not in memory: a pipe may be waited for until it comes."""
        return not self._here

    def tell(self) -> int:
        """Bytes of the file that were read."""
        return self._raw.tell()

    def _read(self) -> None:
        chunk = self._data.read1(CHUNK)
        self._ended = not chunk
        self._parts.append(self._decoder.decode(chunk, final=self._ended))
        if not self._ended and not _END.search(self._parts[-1]):
            if sum(map(len, self._parts)) > LONGEST:
                raise FileError(f"a line of more than {LONGEST} characters: is it a CSV file?")
            return
        lines = list(io.StringIO("".join(self._parts), newline=""))
        goes_on = bool(lines) and not self._ended and not _END.search(lines[-1])
        self._parts = [lines.pop()] if goes_on else []
        self._here.extend(lines)


def delimiter_of(header: str) -> str:
    """What parts the cells of a table with such a first line: a comma, a semicolon or a tab."""
    return next((each for each in (",", ";", "\t") if each in header), ",")


def _stdin() -> io.BufferedReader:
    given = sys.stdin.buffer
    return given if isinstance(given, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, given))
