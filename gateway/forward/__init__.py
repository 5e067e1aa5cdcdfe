"""From the journal to the database: lines, the servers' dialects, and the patience to get every pack taken."""
