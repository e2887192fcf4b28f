"""What every shape of a row is made from. It stands alone, because no module that is compiled may hold it (`setup.py`)."""

import msgspec


class Row(msgspec.Struct, array_like=True, gc=False):
    """What a row holds. Mutable: the rules change it and save it."""
