"""`config.toml`, whole: its schema, how files are read, migrated, merged and printed.

Words: a *file* is read and migrated on its own to version 4; files are *merged* in order over the defaults; a
plugin's *section* is `[plugins.'<type>.<id>']`, decoded to the struct that its registration names.
"""
