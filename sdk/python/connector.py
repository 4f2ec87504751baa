"""Where componentize-py looks for the class of a resource that a world exports: a module with the name of its interface."""

from plugin import Decoder

__all__ = ["Decoder"]
