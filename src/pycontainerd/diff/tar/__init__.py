"""Tar archives as bytes: headers, PAX records, sparse maps, and a reader that gives entries in order.

It accepts what Go's archive/tar accepts (POSIX ustar and PAX, GNU, star, V7), since layers are made and read by it.
Names are bytes, as the kernel has them. Nothing here touches a file.
"""
