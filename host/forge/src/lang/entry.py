"""The plugin, as the component finds it."""

import nephron_told as _told
import plugin as _plugin

_told.watch(_plugin)
globals().update((name, value) for name, value in vars(_plugin).items() if name[0] != "_")
