# The version of this firmware. An update is taken only if its version is higher.

VERSION = "0.2.0"
