"""Numbers from files and from the data of installed packages. Nothing that is read is ever executed."""

from __future__ import annotations

from sweep.files.readers import TIME as TIME
from sweep.files.readers import Column as Column
from sweep.files.readers import number_of as number_of
from sweep.files.readers import read as read
from sweep.files.readers import read_cells as read_cells
from sweep.files.readers import read_numbers as read_numbers
from sweep.files.readers import unreadable as unreadable
from sweep.files.readers import warn_of_times as warn_of_times
from sweep.files.recorded import READERS as READERS
from sweep.files.recorded import read_segment as read_segment
from sweep.files.sources import FromFile as FromFile
from sweep.files.sources import Source as Source
from sweep.files.sources import is_resource as is_resource
from sweep.files.sources import located as located
from sweep.files.text import Table as Table
from sweep.files.text import read_table as read_table
